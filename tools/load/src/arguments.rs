//! The command line as it was typed. Called by `main`.

use crate::scenario::Command;
use clap::Parser;

/// Measures a WebSocket server and verifies that it loses, repeats, reorders and damages nothing.
#[derive(Debug, Parser)]
#[command(name = "shardcast-load", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
