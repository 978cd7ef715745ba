//! The configuration written out as TOML: the defaults with their meaning, and what is in force with its sources.

use super::Settings;
use super::given::{Given, Source};
use super::key::{KEYS, Key};
use std::fmt::Write;

/// A commented file in which every key has its default; read back, it gives the defaults.
pub(crate) fn default_page() -> String {
    let mut page = String::from(
        "# Shardcast configuration. Every key stands here with its default; keep the lines that you change.\n\
         # A flag goes before an environment variable, that before this file, and this file before the default.\n",
    );
    let defaults = Settings::default();
    sections(&mut page, |page, key| {
        writeln!(
            page,
            "\n# {}\n# Value: {}. Environment: {}.",
            key.what,
            key.rule(),
            key.variable()
        )?;
        writeln!(page, "{} = {}", key.parts().1, key.show_toml(&defaults))
    });
    page
}

/// The effective configuration as a file; a value that is not from the defaults bears its source.
pub(crate) fn effective_page(settings: &Settings, given: &Given) -> String {
    let mut page = String::new();
    sections(&mut page, |page, key| {
        let source = given
            .value(key)
            .map_or(Source::Default, |(_, source)| source.clone());
        write!(page, "{} = {}", key.parts().1, key.show_toml(settings))?;
        if source == Source::Default {
            writeln!(page)
        } else {
            writeln!(page, " # {source}")
        }
    });
    page
}

fn sections(page: &mut String, mut line: impl FnMut(&mut String, &Key) -> std::fmt::Result) {
    let mut current = "";
    for key in KEYS {
        let (section, _) = key.parts();
        if section != current {
            let gap = if page.is_empty() { "" } else { "\n" };
            writeln!(page, "{gap}[{section}]").expect("a String takes everything");
            current = section;
        }
        line(page, key).expect("a String takes everything");
    }
}
