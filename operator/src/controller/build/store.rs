//! What the managed Redis and the managed Postgres have in common: a StatefulSet whose pods have a claim each.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Container, ContainerPort, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodAffinityTerm,
    PodAntiAffinity, PodSpec, PodTemplateSpec, Volume, VolumeResourceRequirements, WeightedPodAffinityTerm,
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
    /// Pods. With more than one all start at once, on different nodes where there are some.
    pub(super) servers: i32,
    /// Made by [`container`]. The first is the server.
    pub(super) containers: Vec<Container>,
    pub(super) volumes: Vec<Volume>,
    pub(super) size: &'a str,
    pub(super) files: &'a [(&'a str, &'a str)],
    pub(super) password: &'a Password,
}

/// A container that begins with one of the files. `rest`: image, environment, mounts and probes.
pub(super) fn container(name: &str, port: i32, script: &str, rest: Container) -> Container {
    Container {
        name: name.to_owned(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["/bin/sh".to_owned(), format!("/etc/editorcluster/{script}")]),
        ports: Some(vec![ContainerPort {
            name: Some(name.to_owned()),
            container_port: port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        security_context: Some(container_security()),
        ..rest
    }
}

pub(super) fn store(plan: &Validated, store: Store<'_>) -> StatefulSet {
    let component = store.component;
    let annotations: BTreeMap<_, _> = [(CONFIG_HASH.to_owned(), hash(plan, store.files, store.password))].into();
    let many = store.servers > 1;
    StatefulSet {
        metadata: metadata(plan, component),
        spec: Some(StatefulSetSpec {
            replicas: Some(store.servers),
            selector: label_selector(plan, component),
            service_name: Some(child_name(&plan.name, component)),
            // One after the other, the others would wait for a first one whose node is gone.
            pod_management_policy: many.then(|| "Parallel".to_owned()),
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
                    affinity: many.then(|| apart(plan, component)),
                    containers: store.containers,
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

/// Wished and not demanded, so that a cluster of two nodes runs three servers.
fn apart(plan: &Validated, component: Component) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(label_selector(plan, component)),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..PodAffinityTerm::default()
    };
    let wished = vec![WeightedPodAffinityTerm { weight: 100, pod_affinity_term: term }];
    let anti = PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(wished),
        ..PodAntiAffinity::default()
    };
    Affinity { pod_anti_affinity: Some(anti), ..Affinity::default() }
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
