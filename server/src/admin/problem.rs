//! What the admin port answers instead of what was asked: a problem as RFC 9457 has it. Made by
//! its guard and its calls.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;

/// A problem, which has no type of its own: its status says what it is about.
#[derive(Debug)]
pub(crate) struct AdminProblem {
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
    errors: Vec<String>,
}

/// A problem (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemDetails {
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the status is called.
    title: &'static str,
    status: u16,
    /// What is wrong, for people.
    detail: Cow<'static, str>,
    /// Each thing that is, where there may be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

impl AdminProblem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> AdminProblem {
        AdminProblem {
            status,
            detail: detail.into(),
            retry_after_seconds: None,
            errors: Vec::new(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> AdminProblem {
        AdminProblem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn forbidden(detail: &'static str) -> AdminProblem {
        AdminProblem::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn unauthorized() -> AdminProblem {
        let detail =
            "show the token of admin.token_file or admin.token_env: Authorization: Bearer …";
        AdminProblem::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(crate) fn uncertified() -> AdminProblem {
        let detail = "show a certificate of admin.client_ca";
        AdminProblem::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn too_many(retry_after_seconds: u64) -> AdminProblem {
        AdminProblem {
            retry_after_seconds: Some(retry_after_seconds),
            ..AdminProblem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests")
        }
    }

    /// The server stops while it is asked.
    pub(crate) fn stopping() -> AdminProblem {
        AdminProblem::new(StatusCode::SERVICE_UNAVAILABLE, "the server stops")
    }

    pub(crate) fn not_found(detail: &'static str) -> AdminProblem {
        AdminProblem::new(StatusCode::NOT_FOUND, detail)
    }

    /// What did not succeed, one for each part.
    pub(crate) fn with_errors(self, errors: Vec<String>) -> AdminProblem {
        AdminProblem { errors, ..self }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// As JSON has it.
    pub(crate) fn details(self) -> ProblemDetails {
        ProblemDetails {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        }
    }
}

impl AdminProblem {
    /// The same for libraries of Centrifugo's server API: some look for `error` in any answer, and
    /// take one without it for success.
    pub(crate) fn into_api_response(self) -> Response {
        let body = json!({ "error": { "code": 101, "message": self.detail } });
        let (mut parts, _) = self.into_response().into_parts();
        let media = HeaderValue::from_static("application/json");
        parts.headers.insert(CONTENT_TYPE, media);
        parts.headers.remove(CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(body.to_string()))
    }
}

impl IntoResponse for AdminProblem {
    fn into_response(self) -> Response {
        let media = [(CONTENT_TYPE, "application/problem+json")];
        let (status, retry_after_seconds) = (self.status, self.retry_after_seconds);
        let body = json!(self.details()).to_string();
        let mut response = (status, media, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
