//! What the API answers: the list with the one value, and errors as Kubernetes writes them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{GROUP, VERSION};
use crate::scrape::Totals;

/// The metrics of an EditorCluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Connections,
    Documents,
}

impl Metric {
    pub const ALL: [Self; 2] = [Self::Connections, Self::Documents];

    /// The name in the path and in the HPA's spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "editorcluster_connections",
            Self::Documents => "editorcluster_documents",
        }
    }

    /// The metric of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    fn of(self, totals: &Totals) -> u64 {
        match self {
            Self::Connections => totals.connections,
            Self::Documents => totals.documents,
        }
    }
}

/// The MetricValueList for an object metric: exactly one item.
pub fn value(namespace: &str, name: &str, metric: Metric, totals: &Totals, at: jiff::Timestamp) -> Value {
    json!({
        "kind": "MetricValueList",
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {},
        "items": [{
            "describedObject": {
                "kind": "EditorCluster",
                "namespace": namespace,
                "name": name,
                "apiVersion": "editorcluster.io/v1alpha1",
            },
            "metric": { "name": metric.name(), "selector": null },
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "value": metric.of(totals).to_string(),
        }],
    })
}

/// An error as a Kubernetes Status.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: StatusCode,
    pub message: String,
}

impl Failure {
    pub fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn reason(&self) -> &'static str {
        match self.code {
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::UNAUTHORIZED => "Unauthorized",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            _ => "InternalError",
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason(),
            "code": self.code.as_u16(),
        });
        (self.code, Json(status)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_item_about_the_editorcluster() {
        let totals = Totals { connections: 812, documents: 7, ..Totals::default() };
        let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let list = value("team-a", "docs", Metric::Connections, &totals, at);
        expect_test::expect![[r#"{"apiVersion":"custom.metrics.k8s.io/v1beta2","items":[{"describedObject":{"apiVersion":"editorcluster.io/v1alpha1","kind":"EditorCluster","name":"docs","namespace":"team-a"},"metric":{"name":"editorcluster_connections","selector":null},"timestamp":"2026-01-02T03:04:05Z","value":"812"}],"kind":"MetricValueList","metadata":{}}"#]]
        .assert_eq(&list.to_string());
        assert_eq!(value("a", "b", Metric::Documents, &totals, at)["items"][0]["value"], "7");
    }
}
