//! Errors as `application/problem+json` (RFC 9457). The detail says what to do.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::bus::BusError;
use crate::reader::failure::Failure;
use crate::shard::edits::Refused;
use crate::store::StoreError;
use crate::transfer::TransferError;

/// For a turn to read a history, in seconds.
const RETRY_AFTER: &str = "5";

#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// The header of that name, in seconds.
    retry_after: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(super) fn no_document(document: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("there is no document `{document}`; GET /api/v1/documents has those that there are"),
        )
    }

    pub(super) fn no_version(document: &str, version: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("`{document}` has no version `{version}`; write a number from its list of versions, or `current`"),
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Deleted => Self::new(
                StatusCode::GONE,
                "the document was deleted; POST .../import?revive=true brings an exported one back",
            ),
            StoreError::Quarantined => Self::new(
                StatusCode::LOCKED,
                "the document is in quarantine because a gateway died or stalled in it: `gateway quarantine show NAME` \
                 says more, `gateway quarantine release NAME` lets it be opened again",
            ),
            StoreError::Unavailable(_) => Self::unavailable(error.to_string()),
            StoreError::Corrupt(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<BusError> for Problem {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Corrupt(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

impl From<TransferError> for Problem {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Log(error) => error.into(),
            TransferError::Store(error) => error.into(),
            TransferError::Refused(_) | TransferError::Incomplete => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            TransferError::Contended => Self::unavailable(error.to_string()),
            TransferError::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            // It would be no other way at the next request.
            Failure::Refused(_) | Failure::Timeout(_) | Failure::Memory(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            Failure::Crashed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
            Failure::Busy(_) | Failure::NotStarted(_) => {
                Self { retry_after: Some(RETRY_AFTER), ..Self::unavailable(detail) }
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused.code {
            1007 => StatusCode::UNPROCESSABLE_ENTITY,
            1009 => StatusCode::PAYLOAD_TOO_LARGE,
            1012 => StatusCode::SERVICE_UNAVAILABLE,
            4404 => return StoreError::Deleted.into(),
            4423 => return StoreError::Quarantined.into(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refused.reason)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let body = json!({ "title": title, "status": self.status.as_u16(), "detail": self.detail });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let retry = self.retry_after.map(|seconds| [(header::RETRY_AFTER, seconds)]);
        (self.status, kind, retry, Json(body)).into_response()
    }
}
