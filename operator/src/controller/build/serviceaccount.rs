//! The gateways' identity. They ask Kubernetes nothing, so it has no rights and no token is mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{Component, metadata};
use crate::controller::validate::Validated;

pub(super) fn build(plan: &Validated) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(plan, Component::Gateway),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
