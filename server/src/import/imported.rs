//! What came of a configuration that was imported. Filled in by those who know a part of it, told
//! by the command line.

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// The file of ours.
    pub(crate) page: String,
    /// What its user has to do besides.
    pub(crate) to_do: Vec<String>,
    /// Keys without a counterpart, each with its reason.
    pub(crate) left_out: Vec<String>,
}
