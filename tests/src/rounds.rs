//! How long a test goes on: as long as CI has time for, or longer when a variable asks for it.

/// How many rounds of what it does over and over: this many, or as many as `RR_TEST_ROUNDS` says.
pub fn rounds(usually: usize) -> usize {
    number("RR_TEST_ROUNDS").unwrap_or(usually)
}

/// The number in a variable of the environment.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn number<N: std::str::FromStr>(variable: &str) -> Option<N> {
    let asked = std::env::var(variable).ok()?;
    let Ok(number) = asked.parse() else {
        panic!("{variable} is no number: {asked}");
    };
    Some(number)
}
