//! Which file of a crate imports from which other: what `use` and written-out paths name, followed
//! through re-exports to the file that owns it. Test modules do not count.

use crate::tokens::{Token, behind_visibility, closing, positions, test_modules};
use std::collections::{BTreeMap, BTreeSet};

/// A file of a crate: its name, and its tokens.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) tokens: &'a [Token],
}

/// The modules of a file, from the crate's root on.
type Module = Vec<String>;

/// A path as it is written, and whether it is exported again.
struct Path {
    segments: Vec<String>,
    is_exported: bool,
}

/// One file's part in the graph.
struct Node<'a> {
    file: &'a str,
    paths: Vec<Path>,
    /// Names that the file exports again.
    exports: BTreeMap<String, Module>,
}

/// The circles of a crate: the files of each, in order. `sources` are the files below its `src`.
pub(crate) fn circles(sources: &[Source<'_>]) -> Vec<Vec<String>> {
    let tests = test_sources(sources);
    let mut nodes: BTreeMap<Module, Node<'_>> = BTreeMap::new();
    for source in sources {
        if !tests.contains(source.file) {
            let node = Node {
                file: source.file,
                paths: paths(source.tokens),
                exports: BTreeMap::new(),
            };
            nodes.insert(module_of(source.file), node);
        }
    }
    let modules: BTreeSet<Module> = nodes.keys().cloned().collect();
    for (module, node) in &mut nodes {
        for path in node.paths.iter().filter(|path| path.is_exported) {
            if let Some(absolute) = absolute(module, &path.segments, &modules)
                && let Some(name) = absolute.last()
            {
                node.exports.insert(name.clone(), absolute.clone());
            }
        }
    }
    let edges: BTreeMap<&Module, BTreeSet<Module>> = nodes
        .iter()
        .map(|(module, node)| (module, imports(module, node, &nodes, &modules)))
        .collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut seen = BTreeSet::new();
    for module in nodes.keys().filter(|module| !module.is_empty()) {
        let reached = reach(module, &edges);
        if seen.contains(module) || !reached.contains(module) {
            continue;
        }
        let back = |other: &&Module| *other == module || reach(other, &edges).contains(module);
        let circle: Vec<&Module> = reached.iter().filter(back).collect();
        seen.extend(circle.iter().map(|module| (*module).clone()));
        found.push(
            circle
                .iter()
                .map(|module| nodes[*module].file.to_owned())
                .collect(),
        );
    }
    found
}

/// The files that only tests are made of.
pub(crate) fn test_sources<'a>(sources: &[Source<'a>]) -> BTreeSet<&'a str> {
    let declared: Vec<Module> = sources.iter().flat_map(test_files).collect();
    let is_test = |source: &&Source<'a>| {
        let module = module_of(source.file);
        let is_named = module.iter().any(|part| part == "tests");
        is_named || declared.iter().any(|test| module.starts_with(test))
    };
    sources
        .iter()
        .filter(is_test)
        .map(|source| source.file)
        .collect()
}

/// Files that `#[cfg(test)] mod name;` declares.
fn test_files(source: &Source<'_>) -> Vec<Module> {
    let tokens = source.tokens;
    let text = |index: usize| tokens.get(index).map_or("", |token: &Token| &token.text);
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let declared = positions(tokens, &attribute)
        .map(|start| behind_visibility(tokens, start + attribute.len()))
        .filter(|&at| text(at) == "mod" && text(at + 2) == ";");
    let named = declared.map(|at| {
        let mut module = module_of(source.file);
        module.push(text(at + 1).to_owned());
        module
    });
    named.collect()
}

fn module_of(file: &str) -> Module {
    let (_, path) = file.split_once("src/").unwrap_or(("", file));
    let mut parts: Module = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

/// What a file imports outside of its test modules.
fn paths(tokens: &[Token]) -> Vec<Path> {
    let tests = test_modules(tokens);
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if let Some(test) = tests.iter().find(|test| test.tokens.contains(&index)) {
            index = test.tokens.end + 1;
            continue;
        }
        match tokens[index].text.as_str() {
            // `impl Trait + use<…>` imports nothing.
            "use" if tokens.get(index + 1).is_some_and(|next| next.text != "<") => {
                let before = index
                    .checked_sub(1)
                    .map_or("", |before| &tokens[before].text);
                let is_exported = matches!(before, "pub" | ")");
                let end = (index..tokens.len()).find(|end| tokens[*end].text == ";");
                let end = end.unwrap_or(tokens.len());
                let mut trees = Vec::new();
                expand(&tokens[index + 1..end], &[], &mut trees);
                found.extend(trees.into_iter().map(|segments| Path {
                    segments,
                    is_exported,
                }));
                index = end;
            }
            "crate" | "super" | "self" if is_separator(tokens, index + 1) => {
                let start = index;
                while is_separator(tokens, index + 1) {
                    index += 2;
                }
                let end = (index + 1).min(tokens.len());
                let segments = tokens[start..end].iter().step_by(2);
                found.push(Path {
                    segments: segments.map(|token| token.text.clone()).collect(),
                    is_exported: false,
                });
                index += 1;
            }
            _ => index += 1,
        }
    }
    // A name that is exported again, and used beside that, is imported.
    let used: BTreeSet<String> = found
        .iter()
        .filter(|path| path.is_exported)
        .filter_map(|path| path.segments.last().cloned())
        .filter(|name| tokens.iter().filter(|token| token.text == *name).count() > 1)
        .collect();
    let again: Vec<Path> = found
        .iter()
        .filter(|path| path.is_exported)
        .filter(|path| path.segments.last().is_some_and(|name| used.contains(name)))
        .map(|path| Path {
            segments: path.segments.clone(),
            is_exported: false,
        })
        .collect();
    found.extend(again);
    found
}

fn is_separator(tokens: &[Token], index: usize) -> bool {
    tokens.get(index).is_some_and(|token| token.text == "::")
}

/// The paths of a `use` tree.
fn expand(tokens: &[Token], before: &[String], into: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        match token.text.as_str() {
            "::" => index += 1,
            "," => {
                into.push(std::mem::replace(&mut path, before.to_vec()));
                index += 1;
            }
            "as" => index += 2,
            "{" => {
                let end = closing(tokens, index);
                expand(&tokens[index + 1..end], &path, into);
                path = before.to_vec();
                index = end + 1;
                if tokens.get(index).is_some_and(|token| token.text == ",") {
                    index += 1;
                }
            }
            segment => {
                path.push(segment.to_owned());
                index += 1;
            }
        }
    }
    if path.len() > before.len() {
        into.push(path);
    }
}

/// A path from the crate's root on; `None` if it leads out of the crate.
fn absolute(module: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let join = |base: &[String], rest: &[String]| [base, rest].concat();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some(join(module, &path[1..])),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let base = module.len().checked_sub(up)?;
            Some(join(&module[..base], &path[up..]))
        }
        first => {
            let child = join(module, &[first.to_owned()]);
            modules.contains(&child).then(|| join(module, path))
        }
    }
}

/// The files that a file imports from.
fn imports(
    module: &Module,
    node: &Node<'_>,
    nodes: &BTreeMap<Module, Node<'_>>,
    modules: &BTreeSet<Module>,
) -> BTreeSet<Module> {
    let paths = node.paths.iter().filter(|path| !path.is_exported);
    let absolute = paths.filter_map(|path| absolute(module, &path.segments, modules));
    let owners = absolute.filter_map(|path| owner(path, nodes));
    owners.filter(|owner| owner != module).collect()
}

/// The file that owns what a path names.
fn owner(mut path: Module, nodes: &BTreeMap<Module, Node<'_>>) -> Option<Module> {
    // A name that is exported in a circle has no owner.
    for _ in 0..8 {
        let len = (0..=path.len())
            .rev()
            .find(|len| nodes.contains_key(&path[..*len]))?;
        let node = &nodes[&path[..len]];
        match path.get(len).and_then(|name| node.exports.get(name)) {
            Some(target) if *target != path[..=len] => path = target.clone(),
            _ => return Some(path[..len].to_vec()),
        }
    }
    None
}

/// Every module that is imported from this one on.
fn reach(from: &Module, edges: &BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = vec![from];
    while let Some(module) = next.pop() {
        for target in edges.get(module).into_iter().flatten() {
            if reached.insert(target.clone()) {
                next.push(target);
            }
        }
    }
    reached
}
