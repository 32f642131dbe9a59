//! What a user may do: the cluster's authorizer is asked with a SubjectAccessReview, and its answer holds for 10 s.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::front_proxy::User;
use super::{GROUP, VERSION};

const HOLDS: Duration = Duration::from_secs(10);
/// Answers that are kept, so that many users do not fill the memory.
const KEPT: usize = 4096;

/// What somebody wants to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub namespace: String,
    pub resource: String,
    pub name: String,
    pub metric: String,
}

/// Somebody who decides what a user may read.
pub trait Authorizer: Send + Sync {
    /// Whether the user may; an error says why nobody knows.
    fn may<'a>(&'a self, user: &'a User, wish: &'a Wish) -> BoxFuture<'a, Result<bool, String>>;
}

/// The cluster's own authorizer.
pub struct SubjectAccess {
    reviews: Api<SubjectAccessReview>,
    // A std Mutex and not a tokio one, because it is held for a look-up alone, never across an await.
    answers: Mutex<HashMap<(User, Wish), (Instant, bool)>>,
}

impl SubjectAccess {
    pub fn new(client: Client) -> Self {
        Self { reviews: Api::all(client), answers: Mutex::default() }
    }

    async fn ask(&self, user: &User, wish: &Wish) -> Result<bool, String> {
        let key = (user.clone(), wish.clone());
        if let Some((at, answer)) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && at.elapsed() < HOLDS
        {
            return Ok(*answer);
        }
        let review = SubjectAccessReview { spec: question(user, wish), ..SubjectAccessReview::default() };
        let answer = self.reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
        let allowed = answer.status.is_some_and(|status| status.allowed && status.denied != Some(true));
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KEPT {
            answers.retain(|_, (at, _)| at.elapsed() < HOLDS);
        }
        if answers.len() < KEPT {
            answers.insert(key, (Instant::now(), allowed));
        }
        Ok(allowed)
    }
}

impl Authorizer for SubjectAccess {
    fn may<'a>(&'a self, user: &'a User, wish: &'a Wish) -> BoxFuture<'a, Result<bool, String>> {
        self.ask(user, wish).boxed()
    }
}

/// The same question that the API server asks itself before it sends the request on to us: below a resource's name
/// stands a subresource.
fn question(user: &User, wish: &Wish) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()),
        resource_attributes: Some(ResourceAttributes {
            namespace: Some(wish.namespace.clone()),
            verb: Some("get".to_owned()),
            group: Some(GROUP.to_owned()),
            version: Some(VERSION.to_owned()),
            resource: Some(wish.resource.clone()),
            subresource: Some(wish.metric.clone()),
            name: Some(wish.name.clone()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}
