//! Numbers as Go writes them, because that is what dashboards and tests of users have seen so far: the shortest digits that
//! read back as the same number, with an exponent from a million on.

use std::fmt;

/// Writes itself as the value of a sample or as the bound of a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if value == 0.0 {
            return f.write_str("0");
        }
        let digits = format!("{value:e}");
        let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        match exponent {
            -4..=5 => write!(f, "{value}"),
            _ => {
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(f, "{mantissa}e{sign}{:02}", exponent.unsigned_abs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_look_as_in_go() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.000_676_923, "0.000676923"),
            (0.000_067, "6.7e-05"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_000_006.5, "1.0000065e+06"),
            (18_726_912.0, "1.8726912e+07"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(Number(value).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn every_number_reads_back(value in any::<f64>().prop_filter("zero has no sign", |v| *v != 0.0)) {
            let again: f64 = Number(value).to_string().parse().unwrap_or(0.0);
            prop_assert!(again == value || (again.is_nan() && value.is_nan()));
        }
    }
}
