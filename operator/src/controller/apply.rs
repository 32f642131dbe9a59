//! Stage 4: server-side apply of what was built, and deletion of what is no longer wanted.
//!
//! A child whose desired text is what we applied last, and whose version is the one that this made, is left alone: a
//! steady state writes nothing.

use std::collections::HashMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::build::{Children, Component, INSTANCE, NetworkPolicies, child_name};
use super::validate::{PostgresPlan, RedisPlan, Validated};
use super::watch::{Stores, find};
use crate::crd::{EditorCluster, Reason};

/// Who owns the fields that we apply.
pub const FIELD_MANAGER: &str = "editorcluster";
/// Lower than any pod that nobody has marked (0).
pub const VICTIM_COST: &str = "-1000000";
/// What the ReplicaSet's controller looks at when it has to choose.
pub const COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What was applied last: by kind and name, a hash of the text and the version that the API server answered with.
#[derive(Clone, Debug, Default)]
pub struct Applied(HashMap<(String, String), (Vec<u8>, Option<String>)>);

/// Something could not be written.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{kind} {name}: the Kubernetes API refuses it: {message}")]
    Refused { kind: String, name: String, message: String },
    #[error("{kind} {name} was changed at the same time")]
    Conflict { kind: String, name: String },
    #[error("{kind} {name}: {source}")]
    ApiError { kind: String, name: String, source: Box<kube::Error> },
}

impl Error {
    fn new(kind: &str, name: &str, source: kube::Error) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        match source {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict { kind, name },
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
                Self::Refused { kind, name, message: status.message.clone() }
            }
            source => Self::ApiError { kind, name, source: Box::new(source) },
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused { .. } => Reason::Refused,
            Self::Conflict { .. } => Reason::Conflict,
            Self::ApiError { .. } => Reason::ApiError,
        }
    }
}

/// Writes the children of one EditorCluster.
pub struct Applier<'a> {
    pub client: &'a Client,
    pub stores: &'a Stores,
    pub plan: &'a Validated,
    pub applied: &'a mut Applied,
}

/// What waits until the status is written.
pub struct Pending {
    autoscaler: HorizontalPodAutoscaler,
}

impl Applier<'_> {
    /// Applies everything but the autoscaler, which may act only once the status says what it acts on.
    ///
    /// The order: what pods read, then the stores, then what stands around the gateways, the gateways last.
    ///
    /// # Errors
    ///
    /// The first write that failed; what comes after it is left as it was.
    pub async fn children(&mut self, children: Children) -> Result<Pending, Error> {
        // No `..`: a new child does not compile until it is applied here.
        let Children {
            secrets,
            service_account,
            redis_config,
            redis,
            redis_service,
            redis_budget,
            postgres_config,
            postgres,
            postgres_service,
            policies: NetworkPolicies { redis: redis_policy, postgres: postgres_policy, gateway: gateway_policy },
            gateway_service,
            gateway,
            gateway_budget,
            autoscaler,
        } = children;
        let stores = self.stores;
        for secret in secrets {
            self.create(secret).await?;
        }
        self.all(vec![service_account], &stores.accounts).await?;
        self.all([redis_config, postgres_config].into_iter().flatten().collect(), &stores.configs).await?;
        self.all([redis_policy, postgres_policy, gateway_policy].into_iter().flatten().collect(), &stores.policies)
            .await?;
        let services = [redis_service, postgres_service, Some(gateway_service)];
        self.all(services.into_iter().flatten().collect(), &stores.services).await?;
        self.all([redis, postgres].into_iter().flatten().collect(), &stores.statefulsets).await?;
        self.all([redis_budget, Some(gateway_budget)].into_iter().flatten().collect(), &stores.budgets).await?;
        self.all(vec![gateway], &stores.deployments).await?;
        Ok(Pending { autoscaler })
    }

    /// Applies the autoscaler. To be called when the status has been written.
    ///
    /// # Errors
    ///
    /// It could not be written.
    pub async fn autoscaler(&mut self, pending: Pending) -> Result<(), Error> {
        let stores = self.stores;
        self.all(vec![pending.autoscaler], &stores.autoscalers).await
    }

    /// Deletes the Secrets that were made for stores which are not managed any more.
    ///
    /// # Errors
    ///
    /// One could not be read or deleted.
    pub async fn leftover_secrets(&self, redis_exists: bool, postgres_exists: bool) -> Result<(), Error> {
        if redis_exists && !matches!(self.plan.redis, RedisPlan::Managed { .. }) {
            self.delete_own_secret(Component::Redis).await?;
        }
        if postgres_exists && !matches!(self.plan.postgres, PostgresPlan::Managed { .. }) {
            self.delete_own_secret(Component::Postgres).await?;
        }
        Ok(())
    }

    /// Gives pods the lowest deletion cost, or takes it away. A pod that is gone meanwhile is no error.
    ///
    /// # Errors
    ///
    /// One could not be written.
    pub async fn costs(&self, mark: &[String], unmark: &[String]) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.plan.namespace);
        let marks = mark.iter().map(|name| (name, json!(VICTIM_COST)));
        for (name, cost) in marks.chain(unmark.iter().map(|name| (name, json!(null)))) {
            let patch = json!({"metadata": {"annotations": {COST_ANNOTATION: cost}}});
            match pods.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(Error::new("Pod", name, error)),
            }
        }
        Ok(())
    }

    /// Applies the wanted children of one kind and deletes the others that are ours.
    async fn all<K, S>(&mut self, wanted: Vec<K>, store: &Store<S>) -> Result<(), Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
        S: Resource<DynamicType = ()> + Clone + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.plan.namespace);
        let names: Vec<String> = wanted.iter().map(ResourceExt::name_any).collect();
        for child in wanted {
            self.one(&api, child, store).await?;
        }
        let unwanted = store.state_filter(|seen| {
            seen.meta().namespace.as_deref() == Some(&self.plan.namespace)
                && seen.labels().get(INSTANCE) == Some(&self.plan.name)
                && is_ours(seen, self.plan)
                && seen.meta().deletion_timestamp.is_none()
                && !names.contains(&seen.name_any())
        });
        for child in unwanted {
            let name = child.name_any();
            let params = DeleteParams { preconditions: only(child.as_ref()), ..DeleteParams::background() };
            delete(&api, &name, &params).await?;
            self.applied.0.remove(&(K::kind(&()).into_owned(), name.clone()));
            tracing::info!(kind = %K::kind(&()), name, "deleted, because it is no longer wanted");
        }
        Ok(())
    }

    async fn one<K, S>(&mut self, api: &Api<K>, child: K, store: &Store<S>) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
        S: Resource<DynamicType = ()> + Clone + 'static,
    {
        let kind = K::kind(&()).into_owned();
        let name = child.name_any();
        let seen = find(store, &self.plan.namespace, &name).and_then(|seen| seen.resource_version());
        let text =
            serde_json::to_vec(&child).map_err(|error| Error::new(&kind, &name, kube::Error::SerdeError(error)))?;
        let hash = Sha256::digest(text).to_vec();
        let key = (kind.clone(), name.clone());
        if seen.is_some() && self.applied.0.get(&key) == Some(&(hash.clone(), seen.clone())) {
            return Ok(());
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let answer =
            api.patch(&name, &params, &Patch::Apply(&child)).await.map_err(|error| Error::new(&kind, &name, error))?;
        if answer.resource_version() != seen {
            tracing::info!(kind, name, "applied");
        }
        self.applied.0.insert(key, (hash, answer.resource_version()));
        Ok(())
    }

    /// Creates, and leaves alone what is there already: a password is never rotated by accident.
    async fn create(&self, secret: Secret) -> Result<(), Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.plan.namespace);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&params, &secret).await {
            Ok(_) => Ok(()),
            // A conflict too: somebody has made it since we looked, so what was built on our password is wrong.
            Err(error) => Err(Error::new("Secret", &secret.name_any(), error)),
        }
    }

    async fn delete_own_secret(&self, component: Component) -> Result<(), Error> {
        let name = child_name(&self.plan.name, component);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.plan.namespace);
        let found = api.get_metadata_opt(&name).await.map_err(|error| Error::new("Secret", &name, error))?;
        let Some(secret) = found.filter(|secret| is_ours(secret, self.plan)) else { return Ok(()) };
        delete(&api, &name, &DeleteParams { preconditions: only(&secret), ..DeleteParams::default() }).await
    }
}

/// Writes `spec.replicas` where it is absent.
///
/// # Errors
///
/// A conflict when the object has changed since it was seen: then it may not be absent any more.
pub async fn write_replicas(client: &Client, object: &EditorCluster, replicas: i32) -> Result<(), Error> {
    let name = object.name_any();
    let api: Api<EditorCluster> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({
        "metadata": {"resourceVersion": object.resource_version()},
        "spec": {"replicas": replicas},
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = api.patch_metadata(&name, &params, &Patch::Merge(patch)).await;
    written.map(drop).map_err(|error| Error::new("EditorCluster", &name, error))
}

/// Whether the plan's EditorCluster, and not an earlier one of the same name, is the owner.
fn is_ours<K: Resource>(child: &K, plan: &Validated) -> bool {
    child.meta().owner_references.iter().flatten().any(|owner| owner.uid == plan.owner.uid)
}

/// Deletes the object that was seen, and not one of the same name that came after it.
fn only<K: Resource>(seen: &K) -> Option<Preconditions> {
    Some(Preconditions { uid: seen.meta().uid.clone(), resource_version: None })
}

async fn delete<K>(api: &Api<K>, name: &str, params: &DeleteParams) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    match api.delete(name, params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::new(&K::kind(&()), name, error)),
    }
}
