//! What can be wrong with a call. The texts are the reference's, without the prefix that tells the method; those for what
//! would end the reference are ours.

/// Why a collector cannot be declared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum DeclareError {
    #[error("unknown collector type {0}")]
    UnknownType(String),
    /// The description, and what is wrong with it.
    #[error("descriptor {0} is invalid: {1}")]
    Invalid(String, String),
    #[error("duplicate metrics collector registration attempted")]
    Duplicate,
    #[error(
        "a previously registered descriptor with the same fully-qualified name as {0} has different label names or a different help string"
    )]
    Inconsistent(String),
    #[error("\"le\" is not allowed as label name in histograms")]
    LabelLe,
    #[error("\"quantile\" is not allowed as label name in summaries")]
    LabelQuantile,
    #[error("histogram buckets must be in increasing order: {0} >= {1}")]
    Buckets(f64, f64),
    /// One of our bounds.
    #[error("{what} may be at most {most}")]
    TooMuch { what: &'static str, most: usize },
}

/// Why a value cannot be taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error("undefined collector {0}, try first Declare the desired collector")]
    UndefinedToAdd(String),
    #[error("undefined collector {0}")]
    Undefined(String),
    /// The reference's texts differ by method.
    #[error("collector {name} does not support method {method}")]
    Unsupported { name: String, method: &'static str },
    #[error("required labels for collector {0}")]
    LabelsRequired(String),
    #[error("inconsistent label cardinality: expected {expected} label values but got {got} in []string{{{values}}}")]
    Cardinality {
        expected: usize,
        got: usize,
        values: String,
    },
    #[error("counter cannot decrease in value")]
    Negative,
    #[error("collector {name} would have more than {most} combinations of label values; is one of its labels an id?")]
    TooManySeries { name: String, most: usize },
    #[error("the label values of collector {name} have more than {most} bytes")]
    LabelsTooLong { name: String, most: usize },
    #[error("all collectors together would have more than {0} combinations of label values")]
    Full(usize),
}
