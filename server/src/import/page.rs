//! The configuration file that is being written: sections with their keys, in the order in which
//! they were first named.

use std::fmt::Write as _;

/// The file.
#[derive(Debug, Default)]
pub(super) struct Page {
    sections: Vec<(String, Vec<(String, String)>)>,
}

/// A value cannot stand in a configuration file: it has a quote, a backslash or a control
/// character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotPlain;

impl Page {
    /// Sets a key, `section.name`, to something that is written without quotes.
    pub(super) fn set(&mut self, key: &str, value: impl ToString) {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let keys = match self
            .sections
            .iter_mut()
            .position(|(other, _)| other == section)
        {
            Some(at) => &mut self.sections[at].1,
            None => {
                self.sections.push((section.to_owned(), Vec::new()));
                &mut self.sections.last_mut().expect("just pushed").1
            }
        };
        keys.retain(|(other, _)| other != name);
        keys.push((name.to_owned(), value.to_string()));
    }

    /// The same with a text.
    ///
    /// # Errors
    /// It cannot stand there; nothing was set.
    pub(super) fn set_text(&mut self, key: &str, text: &str) -> Result<(), NotPlain> {
        let is_plain = |char: char| !char.is_control() && char != '"' && char != '\\';
        if !text.chars().all(is_plain) {
            return Err(NotPlain);
        }
        self.set(key, format!("\"{text}\""));
        Ok(())
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.sections {
            let separator = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{separator}[{section}]");
            for (name, value) in keys {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
        text
    }
}
