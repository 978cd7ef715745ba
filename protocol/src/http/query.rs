//! Parameters of a query as forms and browsers write them (WHATWG URL,
//! application/x-www-form-urlencoded). Read where a parameter bears more than a word.

/// The first parameter of this name, with its escapes decoded: a plus is a space, and a `%` that
/// begins no escape stands for itself. `name` needs no escapes.
pub fn decoded_parameter(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut parameters = query.split('&');
    let value = parameters.find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        (key == name).then_some(value)
    })?;
    let mut rest = value.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let [byte, behind @ ..] = rest {
        rest = behind;
        let escaped = (*byte == b'%')
            .then(|| behind.split_at_checked(2))
            .flatten();
        let escaped = escaped.and_then(|(digits, behind)| Some((byte_of(digits)?, behind)));
        match (escaped, byte) {
            (Some((escaped, behind)), _) => {
                decoded.push(escaped);
                rest = behind;
            }
            (None, b'+') => decoded.push(b' '),
            (None, byte) => decoded.push(*byte),
        }
    }
    Some(decoded)
}

fn byte_of(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded() {
        for (query, expected) in [
            ("a=1", Some("1")),
            ("b=2&a=1&a=3", Some("1")),
            ("a=", Some("")),
            ("a", None),
            ("ab=1", None),
            ("a=%7B%22t%22%3a1%7d", Some("{\"t\":1}")),
            ("a=x+y%2B%20z", Some("x y+ z")),
            ("a=%&a=2", Some("%")),
            ("a=%4", Some("%4")),
            ("a=%zz%C3%A4", Some("%zzä")),
            ("a=ä=b", Some("ä=b")),
        ] {
            let decoded = decoded_parameter(query, "a");
            assert_eq!(decoded.as_deref(), expected.map(str::as_bytes), "{query}");
        }
    }
}
