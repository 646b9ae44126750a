//! What our server is told, as one server of Eureka tells another: a list of things to do, answered in its order.

use std::fmt::Write;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::entry::{Action, Answer, Item};
use crate::sidecar::client::Client;
use crate::sidecar::error::ClientError;

/// The call for a list.
const PATH: &str = "/eureka/peerreplication/batch/";
/// Who copies from another server says so, and names it.
const MIRRORED_FROM: HeaderName = HeaderName::from_static("x-rollcall-mirrored-from");

/// Has our server carry out a list; its answers are as many.
pub(super) async fn send(
    server: &Client,
    from: HeaderValue,
    items: &[Item],
) -> Result<Vec<Answer>, ClientError> {
    let body = json(items).into_bytes();
    let reply =
        server.post(PATH, (MIRRORED_FROM, from), body).await.map_err(|error| match error {
            ClientError::NotListed(_) => server.bad_reply(format!("it has no {PATH}")),
            other => other,
        })?;
    let answers = answers(&reply).map_err(|reason| server.bad_reply(reason))?;
    match answers.len() == items.len() {
        true => Ok(answers),
        false => {
            let reason = format!("{} answers to a list of {}", answers.len(), items.len());
            Err(server.bad_reply(reason))
        }
    }
}

fn json(items: &[Item]) -> String {
    let mut out = String::from(r#"{"replicationList":["#);
    for (at, Item { action, instance }) in items.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (word, info) = match action {
            Action::Register => ("Register", &*instance.text),
            Action::Renew => ("Heartbeat", "null"),
            Action::Cancel => ("Cancel", "null"),
        };
        let (app, id) = (quoted(&instance.name.app), quoted(&instance.name.id));
        let (dirty, status) = (instance.dirty, quoted(&instance.status));
        // Writing to a text cannot fail.
        let _ = write!(
            out,
            r#"{comma}{{"appName":{app},"id":{id},"lastDirtyTimestamp":{dirty},"overriddenStatus":null,"status":{status},"instanceInfo":{info},"action":"{word}"}}"#
        );
    }
    out.push_str("]}");
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn answers(reply: &[u8]) -> Result<Vec<Answer>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        response_list: Vec<One>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct One {
        status_code: u16,
        #[serde(default)]
        detail: String,
    }
    let body: Body = serde_json::from_slice(reply).map_err(|error| error.to_string())?;
    let answer = |One { status_code, detail }| Answer { code: status_code, detail };
    Ok(body.response_list.into_iter().map(answer).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::instance::List;
    use super::*;

    #[test]
    fn a_batch_is_what_servers_of_eureka_send() {
        let info = json!({"app": "A\"pp", "instanceId": "i\\1", "status": "UP", "lastDirtyTimestamp": 7,
            "metadata": {"ä": "\u{1}"}});
        let list = json!({"applications": {"application": {"instance": info}}});
        let instance = List::parse(list.to_string().as_bytes()).unwrap().instances.remove(0);
        let item = |action| Item { action, instance: instance.clone().into() };
        let sent =
            super::json(&[item(Action::Register), item(Action::Renew), item(Action::Cancel)]);
        let sent: Value = serde_json::from_str(&sent).unwrap();
        let like = |action: &str, info: Value| {
            json!({"appName": "A\"PP", "id": "i\\1", "lastDirtyTimestamp": 7, "overriddenStatus": null,
                "status": "UP", "instanceInfo": info, "action": action})
        };
        let expected =
            [like("Register", info), like("Heartbeat", Value::Null), like("Cancel", Value::Null)];
        assert_eq!(sent, json!({ "replicationList": expected }));
    }

    #[test]
    fn answers_are_read() {
        let reply = br#"{"responseList":[{"statusCode":200},{"statusCode":400,"detail":"port: x","responseEntity":{}}]}"#;
        let read = answers(reply).unwrap();
        assert_eq!(read[0], Answer { code: 200, detail: String::new() });
        assert_eq!(read[1], Answer { code: 400, detail: "port: x".into() });
        for bad in
            ["", "{}", r#"{"responseList":[{}]}"#, r#"{"responseList":[{"statusCode":70000}]}"#]
        {
            assert!(answers(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
