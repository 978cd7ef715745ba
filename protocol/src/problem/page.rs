//! The table of codes as a page, `docs/errors.md`. Called by the example `errors`, which writes it,
//! and by the test that it is up to date.

use super::Code;
use std::fmt::Write as _;

/// The table as a page for readers: `docs/errors.md`.
pub fn markdown() -> String {
    let mut page = String::from(PAGE_HEAD);
    for code in Code::ALL {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            code.as_str(),
            code.json_rpc(),
            code.close_code().get(),
            if code.is_retryable() { "yes" } else { "no" },
            code.meaning(),
        );
    }
    page + PAGE_FOOT
}

const PAGE_HEAD: &str = "\
# Errors

Made by `cargo run -p shardcast-protocol --example errors`; the test suite fails when it is out of date.

Every dialect answers what it refuses from this table. `code` is for programs, `message` for people (its wording may change). `retryable` says whether the same
request may succeed later. A refused request has no effect unless its meaning says otherwise, and leaves the connection open.

| code | JSON-RPC | close code | retryable | meaning |
|---|---|---|---|---|
";

const PAGE_FOOT: &str = "
## In the native dialects

In JSON, and with the same keys in MessagePack:
```
{\"type\":\"error\",\"id\":1,\"code\":\"invalid_data\",\"message\":\"must be positive\",\"retryable\":false,\"field\":\"data.price\"}
```
`id` is the request's, and absent if none could be read. `retry_after_ms` comes with `rate_limited`; `field` where one field is at fault.

## In JSON-RPC

```
{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"must be positive\",\"data\":{\"code\":\"invalid_data\",\"retryable\":false,\"field\":\"data.price\"}},\"id\":1}
```
`data` has what the native error has. `bad_request` is -32600 (Invalid Request) instead when the message is no request object at all, or a batch that is empty or too long.
`id` is `null` if none could be read. Notifications are never answered.

## Close codes

A refusal closes nothing by itself. Where the server ends a connection for one, it closes with the code of the table: after 4000 to 4099 connecting again does not help, after 4100 to
4199 it may, with backoff.
";
