//! Source text as a flat list of tokens with their lines. Delimiters are balanced, because
//! proc-macro2 refuses text where they are not.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::ops::Range;

/// One token.
pub(crate) struct Token {
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
}

/// The tokens in the order of the text, delimiters included; `::` is one token.
pub(crate) fn flatten(stream: TokenStream) -> Vec<Token> {
    fn walk(stream: TokenStream, into: &mut Vec<Token>) {
        for tree in stream {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    into.push(Token {
                        text: open.to_owned(),
                        line,
                    });
                    walk(group.stream(), into);
                    into.push(Token {
                        text: close.to_owned(),
                        line: group.span_close().start().line,
                    });
                }
                TokenTree::Punct(punct)
                    if punct.as_char() == ':'
                        && into.last().is_some_and(|last| last.text == ":") =>
                {
                    into.last_mut().expect("just seen").text.push(':');
                }
                other => into.push(Token {
                    text: other.to_string(),
                    line,
                }),
            }
        }
    }
    let mut tokens = Vec::new();
    walk(stream, &mut tokens);
    tokens
}

/// Where this sequence of tokens starts.
pub(crate) fn positions<'t>(
    tokens: &'t [Token],
    words: &'t [&str],
) -> impl Iterator<Item = usize> + 't {
    let fits = move |window: &[Token]| {
        window
            .iter()
            .zip(words)
            .all(|(token, word)| token.text == *word)
    };
    tokens
        .windows(words.len())
        .enumerate()
        .filter(move |(_, window)| fits(window))
        .map(|(index, _)| index)
}

/// Whether this sequence of tokens occurs.
pub(crate) fn contains(tokens: &[Token], words: &[&str]) -> bool {
    positions(tokens, words).next().is_some()
}

/// The opening brace of the body of the function that starts at `start`; none for a declaration.
pub(crate) fn body(tokens: &[Token], start: usize) -> Option<usize> {
    let mut index = start;
    loop {
        match tokens.get(index)?.text.as_str() {
            "{" => return Some(index),
            ";" => return None,
            "(" | "[" => index = closing(tokens, index) + 1,
            _ => index += 1,
        }
    }
}

/// The token that closes the delimiter at `open`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "{" | "[" => depth += 1,
            ")" | "}" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    panic!("proc-macro2 gives balanced delimiters");
}

/// Where a test module stands.
pub(crate) struct TestModule {
    pub(crate) tokens: Range<usize>,
    pub(crate) lines: Range<usize>,
}

/// Modules under `#[cfg(test)]` or `#[cfg(all(test, …))]`, with their attribute.
pub(crate) fn test_modules(tokens: &[Token]) -> Vec<TestModule> {
    let mut modules = Vec::new();
    let plain = positions(tokens, &["#", "[", "cfg", "(", "test", ")"]);
    for start in plain.chain(positions(
        tokens,
        &["#", "[", "cfg", "(", "all", "(", "test", ","],
    )) {
        let after = closing(tokens, start + 1) + 1;
        let Some(open) = module_body(tokens, after) else {
            continue;
        };
        let end = closing(tokens, open);
        modules.push(TestModule {
            tokens: start..end,
            lines: tokens[start].line..tokens[end].line + 1,
        });
    }
    modules
}

/// The opening brace of the module that is declared here, whatever its visibility; none for
/// anything else, or for a module in a file of its own.
fn module_body(tokens: &[Token], at: usize) -> Option<usize> {
    let at = behind_visibility(tokens, at);
    (is(tokens, at, "mod") && is(tokens, at + 2, "{")).then_some(at + 2)
}

/// The token behind `pub` or `pub(…)`, if one of them is here.
pub(crate) fn behind_visibility(tokens: &[Token], at: usize) -> usize {
    match (is(tokens, at, "pub"), is(tokens, at + 1, "(")) {
        (true, true) => closing(tokens, at + 1) + 1,
        (true, false) => at + 1,
        (false, _) => at,
    }
}

fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}
