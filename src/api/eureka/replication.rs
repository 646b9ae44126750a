//! What other Eureka servers hand on: lists of what happened there, answered in their order.
//!
//! A server that lists Rollcall as a peer sends every registration, renewal, cancellation and status that it was told. "Not
//! listed" has it send the registration, and a conflict tells it that ours is newer.

use std::collections::HashSet;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::call::{Named, Stamp, StatusChange};
use super::reply::Failure;
use super::wire::Status;
use super::{Context, amend, read, register};
use crate::api::problem::Problem;
use crate::registry::Invalid;

/// Items of a list at most; servers send 250.
const MAX_ITEMS: usize = 1_000;
/// Octets of a list at most: of a server's 250, each with all that an instance may have.
pub(super) const MAX_BATCH_OCTETS: usize = 2 * 1024 * 1024;

/// Carries out a list, and says of each item what came of it.
pub(super) async fn batch(context: Arc<Context>, body: &[u8]) -> Result<String, Failure> {
    let invalid = |reason: String| Failure::from(Invalid::new("replicationList", reason));
    let mut value: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("no JSON: {error}")))?;
    let Some(Value::Array(items)) = value.get_mut("replicationList").map(Value::take) else {
        return Err(invalid("is missing".into()));
    };
    if items.len() > MAX_ITEMS {
        return Err(invalid(format!("has {} items, may have {MAX_ITEMS}", items.len())));
    }
    let mut answers = vec![Value::Null; items.len()];
    let mut waiting = items.into_iter().enumerate().peekable();
    while waiting.peek().is_some() {
        // What is about one instance goes in its order, and all others meet in one commit.
        let mut names = HashSet::new();
        let mut running = JoinSet::new();
        while let Some((at, item)) = waiting.next_if(|(_, item)| names.insert(name_of(item))) {
            let context = context.clone();
            running.spawn(async move { (at, answer(&context, &item).await) });
        }
        while let Some(ended) = running.join_next().await {
            if let Ok((at, said)) = ended
                && let Some(answer) = answers.get_mut(at)
            {
                *answer = said;
            }
        }
    }
    let of_a_defect = || json!({ "statusCode": StatusCode::INTERNAL_SERVER_ERROR.as_u16() });
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| if answer.is_null() { of_a_defect() } else { answer })
        .collect();
    Ok(json!({ "responseList": answers }).to_string())
}

fn text<'a>(item: &'a Value, key: &str) -> &'a str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn name_of(item: &Value) -> (String, String) {
    (text(item, "appName").to_uppercase(), text(item, "id").to_owned())
}

async fn answer(context: &Context, item: &Value) -> Value {
    match carry_out(context, item).await {
        Ok(status) => json!({ "statusCode": status.as_u16() }),
        Err(failure) => {
            let status = failure.status().as_u16();
            match failure {
                Failure::Newer(text) => {
                    let entity: Value = serde_json::from_str(&text).unwrap_or_default();
                    let entity = entity.get("instance").unwrap_or(&Value::Null);
                    json!({ "statusCode": status, "responseEntity": entity })
                }
                // Servers of Eureka take nothing more than the code; ours can tell somebody.
                Failure::Problem(problem) if context.mirrored_from.is_some() => {
                    json!({ "statusCode": status, "detail": words(&problem) })
                }
                Failure::Problem(problem) => {
                    tracing::debug!(status, "an item of a peer was refused: {}", problem.detail);
                    json!({ "statusCode": status })
                }
                Failure::Code(_) => json!({ "statusCode": status }),
            }
        }
    }
}

fn words(problem: &Problem) -> String {
    match problem.field.as_deref() {
        Some(field) => format!("{field}: {}", problem.detail),
        None => problem.detail.clone(),
    }
}

async fn carry_out(context: &Context, item: &Value) -> Result<StatusCode, Failure> {
    let named = Named { app: text(item, "appName").into(), id: text(item, "id").into() };
    let last_dirty = item.get("lastDirtyTimestamp").and_then(read::scalar);
    let last_dirty = last_dirty.and_then(|text| text.parse().ok()).unwrap_or(0);
    let status = Status::parse(text(item, "status"));
    match text(item, "action") {
        "Register" => {
            let object = item.get("instanceInfo").and_then(Value::as_object);
            let object = object.ok_or_else(|| Invalid::new("instanceInfo", "is missing"))?;
            let done = register::register(context, &named.app, &read::info(object)?).await?;
            Ok(if done == StatusCode::NO_CONTENT { StatusCode::OK } else { done })
        }
        "Heartbeat" => amend::renew(context, &named, Stamp { last_dirty, is_unknown: false }),
        "Cancel" => amend::cancel(context, &named).await,
        "StatusUpdate" => {
            let change = StatusChange { status, reason: None, expires_in_secs: None };
            amend::set_status(context, &named, change).await
        }
        "DeleteStatusOverride" => amend::end_status(context, &named).await,
        _ => Err(Invalid::new("action", "is not known").into()),
    }
}
