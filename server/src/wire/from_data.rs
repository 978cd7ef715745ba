//! A request's data on its way into a handler: from JSON or MessagePack to a type of the
//! application, with errors that name the field.

use crate::wire::encoding::{self, Reader};
use serde::de::DeserializeOwned;
use shardcast_protocol::dialect::{Code, Problem, Value};
use shardcast_protocol::json::Raw;

/// The data of a request, as the client encoded it.
#[derive(Clone, Copy, Debug)]
pub struct Data<'b> {
    value: Option<Value<'b>>,
    key: DataKey,
}

/// What the request's dialect calls the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataKey {
    Data,
    /// JSON-RPC's, which are an array or an object: an empty one has no parameters, as if it were
    /// absent.
    Params,
}

impl<'b> Data<'b> {
    pub(crate) fn new(value: Option<Value<'b>>) -> Data<'b> {
        let key = DataKey::Data;
        Data { value, key }
    }

    /// The `params` of a JSON-RPC method.
    pub(crate) fn params(value: Option<Value<'b>>) -> Data<'b> {
        let key = DataKey::Params;
        Data { value, key }
    }

    /// The data of a request that has none.
    pub fn none() -> Data<'b> {
        Data::new(None)
    }

    /// The value as it came; `None` if the request has no data.
    pub fn value(&self) -> Option<Value<'b>> {
        self.value
    }

    /// Reads the data. A request without data is read as `null`, so that `()` and `Option` fit. In
    /// JSON-RPC absent, `[]` and `{}` are the same: whichever a client sends, a type that can be
    /// read from one of them, or from `null`, fits.
    ///
    /// # Errors
    /// `invalid_data`, with the field that does not fit.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        encoding::read(self.or_null()).or_else(|_| {
            let otherwise = NO_PARAMS.iter().filter(|_| self.has_no_params());
            let read = otherwise
                .filter_map(|json| encoding::read(Value::Json(Raw::parse(json)?)).ok())
                .next();
            read.ok_or_else(|| self.explain::<T>())
        })
    }

    fn has_no_params(&self) -> bool {
        let is_empty = |value: Value<'_>| {
            let is_space = |byte: &&u8| !byte.is_ascii_whitespace();
            value.as_bytes().iter().filter(is_space).count() == 2
        };
        self.key == DataKey::Params && self.value.is_none_or(is_empty)
    }

    fn or_null(&self) -> Value<'b> {
        self.value.unwrap_or(Value::Json(Raw::NULL))
    }

    /// Reads the data once more, slowly, to find the field that does not fit.
    #[cold]
    fn explain<T: DeserializeOwned>(&self) -> Problem {
        let reader = &mut Reader::new(self.or_null());
        let (path, error) = match serde_path_to_error::deserialize::<_, T>(reader) {
            // The data fits after all: the type's own reading differs from time to time.
            Ok(_) => (String::new(), "it does not fit".to_owned()),
            Err(error) => (error.path().to_string(), error.inner().to_string()),
        };
        // serde names a field that is missing only in its text, and the object around it in the
        // path.
        let missing = error
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split_once('`'))
            .map(|(field, _)| field);
        invalid(&path, missing, error.clone())
    }
}

/// A problem with the field at `path` of the data, or with a field `below` it.
fn invalid(path: &str, below: Option<&str>, message: String) -> Problem {
    let mut field = "data".to_owned();
    for part in [Some(path), below].into_iter().flatten() {
        if !part.is_empty() && part != "." {
            if !part.starts_with('[') {
                field.push('.');
            }
            field.push_str(part);
        }
    }
    Problem::new(Code::InvalidData, message).at_field(field)
}

/// The spellings of no parameters, in the order in which they are tried.
const NO_PARAMS: [&str; 3] = ["null", "[]", "{}"];

/// What a handler takes: any type that serde reads, or [`Valid`] of one that garde checks.
pub trait FromData: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// The problem that the client gets.
    fn from_data(data: &Data<'_>) -> Result<Self, Problem>;
}

impl<T: DeserializeOwned> FromData for T {
    fn from_data(data: &Data<'_>) -> Result<T, Problem> {
        data.get()
    }
}

/// Data that obeys the rules of its type ([`garde::Validate`]): whoever holds one need not check
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid<T>(pub T);

impl<T> FromData for Valid<T>
where
    T: DeserializeOwned + garde::Validate<Context: Default>,
{
    fn from_data(data: &Data<'_>) -> Result<Valid<T>, Problem> {
        let value: T = data.get()?;
        match value.validate() {
            Ok(()) => Ok(Valid(value)),
            Err(report) => {
                let first = report.iter().next();
                let (path, message) = first.map_or_else(Default::default, |(path, error)| {
                    (path.to_string(), error.to_string())
                });
                Err(invalid(&path, None, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use garde::Validate;
    use serde::Deserialize;
    use std::fmt::Debug;

    #[derive(Debug, PartialEq, Deserialize, Validate)]
    struct Order {
        #[garde(length(min = 1, max = 4))]
        symbol: String,
        #[garde(range(min = 1))]
        quantity: u32,
        #[serde(default)]
        #[garde(dive)]
        legs: Vec<Leg>,
    }

    #[derive(Debug, PartialEq, Deserialize, Validate)]
    struct Leg {
        #[garde(range(max = 10))]
        price: i64,
    }

    fn read<T: FromData>(json: &str) -> Result<T, (String, String)> {
        let raw = Raw::parse(json).expect("a valid value");
        T::from_data(&Data::new(Some(Value::Json(raw)))).map_err(|problem| {
            assert_eq!(problem.code, Code::InvalidData);
            (
                problem.field.unwrap_or_default().into(),
                problem.message.into_owned(),
            )
        })
    }

    #[track_caller]
    fn check<T: FromData + Debug + PartialEq>(json: &str, field: &str, words: &str) {
        let (given, message) = read::<T>(json).expect_err("it does not fit");
        assert_eq!(given, field, "{json}: {message}");
        assert!(message.contains(words), "{json}: {message}");
        assert!(!message.contains("line"), "{json}: {message}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check::<Order>(r#"{"symbol":"A"}"#, "data.quantity", "missing field");
        check::<Order>(
            r#"{"symbol":1,"quantity":1}"#,
            "data.symbol",
            "expected a string",
        );
        check::<Order>(
            r#"{"symbol":"A","quantity":-1}"#,
            "data.quantity",
            "expected u32",
        );
        check::<Order>(r#"[]"#, "data", "invalid length 0");
        check::<Order>(r#"7"#, "data", "expected struct Order");
        let legs = r#"{"symbol":"A","quantity":1,"legs":[{"price":1},{}]}"#;
        check::<Order>(legs, "data.legs[1].price", "missing field");
        check::<(i64, i64)>("[1]", "data", "expected a tuple of size 2");
        check::<Valid<Order>>(r#"{"symbol":"","quantity":1}"#, "data.symbol", "length");
        check::<Valid<Order>>(
            r#"{"symbol":"A","quantity":0}"#,
            "data.quantity",
            "lower than 1",
        );
        let legs = r#"{"symbol":"A","quantity":1,"legs":[{"price":1},{"price":11}]}"#;
        check::<Valid<Order>>(legs, "data.legs[1].price", "greater than 10");
    }

    #[test]
    fn what_fits_is_read_and_nothing_is_null() {
        assert_eq!(read::<(i64, i64)>("[42, 23]"), Ok((42, 23)));
        assert_eq!(<()>::from_data(&Data::none()), Ok(()));
        assert_eq!(Option::<u8>::from_data(&Data::none()), Ok(None));
        assert!(u8::from_data(&Data::none()).is_err());
    }

    #[test]
    fn messagepack_is_read_alike() {
        #[derive(serde::Serialize)]
        struct Sent<'a> {
            symbol: &'a str,
            quantity: i64,
        }
        let packed = |quantity| {
            let sent = Sent {
                symbol: "A",
                quantity,
            };
            rmp_serde::to_vec_named(&sent).expect("it can be packed")
        };
        let read = |bytes: &[u8]| {
            let pack = shardcast_protocol::pack::Pack::parse(bytes).expect("a valid value");
            Valid::<Order>::from_data(&Data::new(Some(Value::Pack(pack))))
        };
        assert_eq!(read(&packed(3)).expect("it fits").0.quantity, 3);
        let problem = read(&packed(-3)).expect_err("negative");
        assert_eq!(problem.field.as_deref(), Some("data.quantity"));
        let problem = read(&packed(0)).expect_err("too small");
        assert_eq!(problem.field.as_deref(), Some("data.quantity"));
    }
}
