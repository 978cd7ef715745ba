//! What the user gave, unchecked: for every key the text of the source that goes first, and what
//! could not be understood at all. Flags are added before the environment and that before the file;
//! the first to name a key keeps it.

use super::group::{GROUPS, Group};
use super::key::Key;
use super::keys::{self, KEYS};
use super::problem::{Problem, Source};
use super::value::VARIABLE_PREFIX;
use crate::bounded::read_file;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use toml::de::{DeArray, DeTable, DeValue};

/// Raw values by key.
#[derive(Debug, Default)]
pub(crate) struct Given {
    values: Values,
    /// What stands in tables that the user names, by the path of their group and by name: at most
    /// [`Group::count_max`] of each.
    tables: BTreeMap<&'static str, BTreeMap<String, Values>>,
    problems: Vec<Problem>,
}

type Values = BTreeMap<&'static str, (String, Source)>;

impl Given {
    /// Adds a flag of its own, which the command line has tied to a known key.
    pub(crate) fn flag(&mut self, name: &str, text: &str) {
        let key = keys::find(name).expect("a flag names a known key");
        self.offer(
            key,
            text.to_owned(),
            Source::Flag(key.flag.unwrap_or("a flag").to_owned()),
        );
    }

    /// Adds `--set KEY=VALUE`.
    pub(crate) fn set(&mut self, assignment: &str) {
        let source = Source::Flag("--set".to_owned());
        match assignment.split_once('=') {
            Some((name, text)) => match (keys::find(name.trim()), Group::of_key(name.trim())) {
                (Some(key), _) => self.offer(key, text.trim().to_owned(), source),
                (None, Some(group)) => self.only_in_the_file(group, name.trim(), source),
                (None, None) => self.unknown_key(name.trim(), source),
            },
            None => self.problems.push(Problem::Unreadable {
                source,
                why: format!("{assignment:?} is not KEY=VALUE"),
            }),
        }
    }

    /// Adds the variables that begin with `SHARDCAST_`.
    pub(crate) fn environment(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let mut ours: Vec<_> = variables
            .filter(|(name, _)| {
                name.as_encoded_bytes()
                    .starts_with(VARIABLE_PREFIX.as_bytes())
            })
            .collect();
        ours.sort_unstable();
        for (name, text) in ours {
            self.variable(&name, &text);
        }
    }

    fn variable(&mut self, name: &OsStr, text: &OsStr) {
        let name = name.to_string_lossy().into_owned();
        let source = Source::Variable(name.clone());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let dotted = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase();
            if let Some(group) = Group::of_key(&dotted.replace('_', ".")) {
                let source = Source::Variable("the environment".to_owned());
                return self.only_in_the_file(group, &name, source);
            }
            let nearest = keys::nearest(&dotted.replacen('_', ".", 1)).variable();
            return self.problems.push(Problem::Unknown {
                what: "variable",
                name,
                source: Source::Variable("the environment".to_owned()),
                nearest,
            });
        };
        match text.to_str() {
            Some(text) => self.offer(key, text.to_owned(), source),
            None => self.problems.push(Problem::Unreadable {
                source,
                why: "the value is not UTF-8".to_owned(),
            }),
        }
    }

    /// Adds a configuration file.
    pub(crate) fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match read(path) {
            Ok(text) => self.toml(&name, &text),
            Err(why) => self.problems.push(Problem::Unreadable {
                source: Source::File(name, None),
                why,
            }),
        }
    }

    /// Adds the text of a configuration file. After a syntax error no other problem of the file is
    /// listed.
    pub(crate) fn toml(&mut self, path: &str, text: &str) {
        let at = |offset: usize| {
            Source::File(
                path.to_owned(),
                Some(
                    1 + text.as_bytes()[..offset.min(text.len())]
                        .iter()
                        .filter(|byte| **byte == b'\n')
                        .count(),
                ),
            )
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let listed = errors.iter().take(SYNTAX_ERRORS_MAX);
            self.problems.extend(listed.map(|error| {
                let source = error
                    .span()
                    .map_or(Source::File(path.to_owned(), None), |span| at(span.start));
                Problem::Unreadable {
                    source,
                    why: format!("not valid TOML: {}", error.message()),
                }
            }));
            return;
        }
        for (section, content) in document.get_ref() {
            let source = at(section.span().start);
            let section: &str = section.get_ref();
            match content.get_ref() {
                content if Group::at(section).is_some() => {
                    self.group(section, content, source, &at);
                }
                DeValue::Table(entries) if is_section(section) => {
                    for (name, value) in entries {
                        let source = at(name.span().start);
                        let name = format!("{section}.{}", name.get_ref());
                        self.entry(&name, value.get_ref(), source, &at);
                    }
                }
                DeValue::Table(_) => self.unknown_section(section, source),
                _ => self.unknown_key(section, source),
            }
        }
    }

    fn entry(
        &mut self,
        name: &str,
        value: &DeValue<'_>,
        source: Source,
        at: &dyn Fn(usize) -> Source,
    ) {
        if Group::at(name).is_some() {
            return self.group(name, value, source, at);
        }
        let Some(key) = keys::find(name) else {
            return self.unknown_key(name, source);
        };
        if let Some(text) = self.text(key, name, value, &source) {
            self.offer(key, text, source);
        }
    }

    /// The tables of the group of this path.
    fn group(
        &mut self,
        path: &str,
        content: &DeValue<'_>,
        source: Source,
        at: &dyn Fn(usize) -> Source,
    ) {
        let group = Group::at(path).expect("the caller has looked");
        let DeValue::Table(tables) = content else {
            let (plural, example) = (group.plural, group.example);
            return self.problems.push(Problem::Unreadable {
                source,
                why: format!("{plural} must be tables, such as {example}"),
            });
        };
        for (name, content) in tables {
            let source = at(name.span().start);
            let name: &str = name.get_ref();
            let count = self.tables.get(group.path).map_or(0, BTreeMap::len);
            let rule = match content.get_ref() {
                _ if !(group.is_name)(name) => group.name_rule.to_owned(),
                DeValue::Table(_) if count == group.count_max => {
                    let rule = format!("is one too many: {} may be", group.count_max);
                    return self.bad_table(group, name, source, rule);
                }
                DeValue::Table(options) => {
                    self.options(group, name, options, at);
                    continue;
                }
                _ => format!("must be a table of options, such as {}", group.example),
            };
            self.bad_table(group, name, source, rule);
        }
    }

    fn bad_table(&mut self, group: &Group, name: &str, source: Source, rule: String) {
        self.problems.push(Problem::Table {
            what: group.what,
            name: name.to_owned(),
            source,
            rule,
        });
    }

    fn options(
        &mut self,
        group: &'static Group,
        table: &str,
        options: &DeTable<'_>,
        at: &dyn Fn(usize) -> Source,
    ) {
        let mut values = Values::new();
        for (option, value) in options {
            let source = at(option.span().start);
            let option: &str = option.get_ref();
            let name = format!("{}.{table}.{option}", group.path);
            let Some(key) = group.key(option) else {
                let nearest = keys::nearest_of(option, group.keys());
                self.problems.push(Problem::Unknown {
                    what: "key",
                    name,
                    source,
                    nearest: group.option(table, nearest),
                });
                continue;
            };
            if let Some(text) = self.text(key, &name, value.get_ref(), &source) {
                values.insert(key.name, (text, source));
            }
        }
        let tables = self.tables.entry(group.path).or_default();
        tables.insert(table.to_owned(), values);
    }

    /// A value as text, if its key takes its type.
    fn text(
        &mut self,
        key: &Key,
        name: &str,
        value: &DeValue<'_>,
        source: &Source,
    ) -> Option<String> {
        let text = match value {
            DeValue::Array(items) if key.takes_roles() => roles(items),
            value => plain(value),
        };
        if text.is_none() {
            self.problems.push(Problem::Value {
                key: name.to_owned(),
                text: value.type_str().to_owned(),
                source: source.clone(),
                rule: format!("must be {}", key.rule()),
            });
        }
        text
    }

    /// The names of the tables of a group.
    pub(super) fn tables(&self, group: &Group) -> impl Iterator<Item = &str> {
        let tables = self.tables.get(group.path).into_iter();
        tables.flat_map(|tables| tables.keys().map(String::as_str))
    }

    /// What was given for a key of a table.
    pub(super) fn option(&self, group: &Group, table: &str, key: &Key) -> Option<(&str, &Source)> {
        let values = self.tables.get(group.path)?.get(table)?;
        values
            .get(key.name)
            .map(|(text, source)| (text.as_str(), source))
    }

    /// What was given for a key.
    pub(super) fn value(&self, key: &Key) -> Option<(&str, &Source)> {
        self.values
            .get(key.name)
            .map(|(text, source)| (text.as_str(), source))
    }

    /// What could not be understood.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn offer(&mut self, key: &Key, text: String, source: Source) {
        self.values.entry(key.name).or_insert((text, source));
    }

    fn unknown_key(&mut self, name: &str, source: Source) {
        let nearest = keys::nearest(name).name.to_owned();
        self.problems.push(Problem::Unknown {
            what: "key",
            name: name.to_owned(),
            source,
            nearest,
        });
    }

    fn only_in_the_file(&mut self, group: &Group, name: &str, source: Source) {
        let plural = group.plural;
        self.problems.push(Problem::Unreadable {
            source,
            why: format!("{name} cannot be set here: {plural} stand in the configuration file"),
        });
    }

    fn unknown_section(&mut self, name: &str, source: Source) {
        let likeness = |section: &str| strsim::normalized_damerau_levenshtein(name, section);
        let groups = GROUPS.iter().map(|group| group.path);
        let sections = KEYS.iter().map(|key| key.parts().0).chain(groups);
        let nearest = sections
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .expect("there are sections");
        self.problems.push(Problem::Unknown {
            what: "section",
            name: format!("[{name}]"),
            source,
            nearest: format!("[{nearest}]"),
        });
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.parts().0 == name)
}

/// A TOML value as the text that a flag would carry. `None`: no key takes such a value.
fn plain(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .ok()?
            .to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Array(items) => items
            .iter()
            .map(|item| plain(item.get_ref()))
            .collect::<Option<Vec<_>>>()?
            .join(","),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Table(_) => return None,
    })
}

/// An array as a list of roles. A comma in a role would part it.
fn roles(items: &DeArray<'_>) -> Option<String> {
    let roles = items.iter().map(|item| match item.get_ref() {
        DeValue::String(role) if !role.contains(',') => Some(&**role),
        _ => None,
    });
    Some(format!(
        "[{}]",
        roles.collect::<Option<Vec<_>>>()?.join(",")
    ))
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = read_file(path, FILE_BYTES_MAX);
    let bytes = bytes.map_err(|error| format!("cannot read the configuration file: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "the configuration file is not UTF-8".to_owned())
}

/// Longest configuration file in bytes; `default-config` prints about 5 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Syntax errors that are listed for one file; later ones mostly follow from the first.
const SYNTAX_ERRORS_MAX: usize = 3;
