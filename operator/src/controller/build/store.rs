//! What the managed Redis and the managed Postgres have in common: a StatefulSet of one pod with a claim.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Volume,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use super::pod::{container_security, pod_security};
use super::{CONFIG_HASH, Component, child_name, label_selector, labels, metadata};
use crate::controller::validate::{Password, Validated, short};
use crate::crd::DeletionPolicy;

/// The user and group of Redis and of Postgres in the official images and in Debian's.
const USER: i64 = 999;
/// Enough to write what is in memory, seconds.
const GRACE: i64 = 60;

/// Where the two differ.
pub(super) struct Store<'a> {
    pub(super) component: Component,
    pub(super) port: i32,
    /// Image, environment, mounts and probes; the rest is added.
    pub(super) container: Container,
    pub(super) volumes: Vec<Volume>,
    pub(super) size: &'a str,
    pub(super) files: &'a [(&'a str, &'a str)],
    pub(super) password: &'a Password,
}

pub(super) fn store(plan: &Validated, store: Store<'_>) -> StatefulSet {
    let component = store.component;
    let container = Container {
        name: component.as_str().to_owned(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(["/bin/sh", "/etc/editorcluster/start.sh"].map(str::to_owned).into()),
        ports: Some(vec![ContainerPort {
            name: Some(component.as_str().to_owned()),
            container_port: store.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        security_context: Some(container_security()),
        ..store.container
    };
    let annotations: BTreeMap<_, _> = [(CONFIG_HASH.to_owned(), hash(plan, store.files, store.password))].into();
    StatefulSet {
        metadata: metadata(plan, component),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            selector: label_selector(plan, component),
            service_name: Some(child_name(&plan.name, component)),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(plan, component)),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    termination_grace_period_seconds: Some(GRACE),
                    security_context: Some(pod_security(USER)),
                    containers: vec![container],
                    volumes: Some(store.volumes),
                    ..PodSpec::default()
                }),
            },
            volume_claim_templates: Some(vec![claim(store.size)]),
            persistent_volume_claim_retention_policy: Some(retention(plan.deletion_policy)),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// No labels: the template of a claim can never change, so nothing that might is in it.
fn claim(size: &str) -> PersistentVolumeClaim {
    let requests = [("storage".to_owned(), Quantity(size.to_owned()))].into();
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some("data".to_owned()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// `whenScaled` never deletes: nobody scales these to 0 to lose their documents.
fn retention(policy: DeletionPolicy) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let when_deleted = match policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some(when_deleted.to_owned()),
        when_scaled: Some("Retain".to_owned()),
    }
}

/// The files and the password are read at the start alone, so a pod starts again when they change.
fn hash(plan: &Validated, files: &[(&str, &str)], password: &Password) -> String {
    let mut hash = Sha256::new();
    hash.update(&plan.owner.uid);
    hash.update(&password.value);
    for (name, text) in files {
        hash.update(name);
        hash.update(text);
    }
    short(&hash.finalize())
}
