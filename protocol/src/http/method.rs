//! The methods of requests that the server tells apart. Named by request lines and by targets,
//! whose form depends on the method.

/// What is asked. Case matters (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpMethod {
    /// GET.
    Get,
    /// HEAD: a GET whose answer has no content.
    Head,
    /// POST.
    Post,
    /// OPTIONS.
    Options,
    /// CONNECT: the one whose target may be an authority.
    Connect,
    /// Any other token.
    Other,
}
