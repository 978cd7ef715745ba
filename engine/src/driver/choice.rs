//! Which driver an engine runs on: what is asked for, and what it then is.

use std::fmt;
use std::str::FromStr;

/// Which driver an engine is to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where a trial at start finds all that it takes, otherwise epoll, with a warning
    /// that says what is missing.
    #[default]
    Auto,
    /// io_uring (Linux 6.1 or newer, and a host that permits it), or no start.
    Uring,
    /// epoll, which every Linux and every container permits. It takes more CPU, and each connection
    /// one open file.
    Portable,
}

impl DriverChoice {
    /// Every choice, as users type it.
    pub const NAMES: [(&'static str, DriverChoice); 3] = [
        ("auto", DriverChoice::Auto),
        ("uring", DriverChoice::Uring),
        ("portable", DriverChoice::Portable),
    ];
}

/// None of the three names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auto, uring or portable")]
pub struct NoSuchDriver;

impl FromStr for DriverChoice {
    type Err = NoSuchDriver;

    fn from_str(text: &str) -> Result<DriverChoice, NoSuchDriver> {
        let mut names = Self::NAMES.into_iter();
        let found = names.find(|(name, _)| *name == text);
        found.map(|(_, choice)| choice).ok_or(NoSuchDriver)
    }
}

impl fmt::Display for DriverChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.into_iter();
        let name = names.find(|(_, choice)| choice == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_shown() {
        for (name, choice) in DriverChoice::NAMES {
            assert_eq!(
                (choice.to_string().as_str(), name.parse()),
                (name, Ok(choice))
            );
        }
        assert_eq!("epoll".parse::<DriverChoice>(), Err(NoSuchDriver));
    }
}
