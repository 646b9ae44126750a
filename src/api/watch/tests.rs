//! What watchers and those who look back are sent, over the door with a registrar behind it.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::api::testing::World;

const W1: &str = "PUT /api/v1/services/web/instances/w1";

fn port(port: u16) -> String {
    json!({"addresses": ["10.0.0.1"], "port": port}).to_string()
}

/// The next message of an event stream: its lines.
async fn next(stream: &mut Body) -> Vec<String> {
    let frame = stream.frame().await.unwrap().unwrap();
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn data(line: &str) -> Value {
    serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn a_stream_goes_on_from_where_it_left_off() {
    let world = World::new();
    world.change(W1, &port(1)).await;
    let accept = "accept: text/event-stream";
    let reply = world.reply("GET /api/v1/watch?service=web", accept, "").await;
    assert_eq!(reply.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(reply.headers()["cache-control"], "no-store");
    let mut stream = reply.into_body();
    assert_eq!(
        next(&mut stream).await,
        ["retry: 1000", "event: watching", r#"data: {"revision":1}"#, ""]
    );
    world.change("PUT /api/v1/services/db/instances/d1", &port(1)).await;
    world.change(W1, &port(2)).await;
    let lines = next(&mut stream).await;
    assert_eq!(lines[..2], ["id: 3", "event: event"]);
    let event = data(&lines[2]);
    let time = event["unix_ms"].as_u64().unwrap();
    assert_eq!(
        event,
        json!({"revision": 3, "unix_ms": time, "service": "web", "id": "w1", "event": "changed", "reason": "",
            "changed": ["port"], "state": "up", "standing": "live", "answering": true, "addresses": ["10.0.0.1"], "port": 2,
            "by": {"principal": "anonymous", "door": "http", "source": "127.0.0.1:1"}})
    );
    drop(stream);
    world.change("DELETE /api/v1/services/web/instances/w1", "").await;
    let headers = format!("{accept}\nLast-Event-ID: 3");
    let mut again =
        world.reply("GET /api/v1/watch?service=web&revision=1", &headers, "").await.into_body();
    next(&mut again).await;
    let gone = data(&next(&mut again).await[2]);
    assert_eq!(
        (gone["event"].as_str(), gone["answering"].as_bool()),
        (Some("deregistered"), Some(false))
    );
    assert_eq!((&gone["state"], &gone["standing"]), (&Value::Null, &Value::Null));
    // It ends when the server does.
    world.registrar.history().end();
    assert!(again.frame().await.is_none());
}

#[tokio::test]
async fn a_poll_waits_for_what_comes() {
    let world = World::new();
    world.change(W1, &port(1)).await;
    let list = world.get("/api/v1/services/web").await;
    let poll = format!("/api/v1/watch?service=web&revision={}", list["revision"]);
    let nothing = world.get(&format!("{poll}&wait_secs=0")).await;
    assert_eq!(nothing, json!({"revision": 1, "events": []}));
    let (polled, ()) = tokio::join!(world.get(&poll), async {
        world.change("PUT /api/v1/services/db/instances/d1", &port(1)).await;
        world
            .change(
                "PUT /api/v1/services/web/instances/w1/state",
                r#"{"state":"down","reason":"disk"}"#,
            )
            .await;
    });
    assert_eq!(polled["revision"], 3);
    assert_eq!(
        (&polled["events"][0]["event"], &polled["events"][0]["reason"]),
        (&json!("state_changed"), &json!("disk"))
    );
    assert_eq!(polled["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_cannot_go_on_is_told() {
    let world = World::new();
    world.change(W1, &port(1)).await;
    for (query, headers, code, says) in [
        ("revision=2", "", 410, r#""complete_since":1"#),
        ("revision=x", "", 422, "revision"),
        ("wait_secs=61", "", 422, "wait_secs"),
        ("service=we_b", "", 422, r#""field":"service""#),
        ("servce=web", "", 422, "did you mean `service`"),
        ("", "Last-Event-ID: x", 422, "Last-Event-ID"),
    ] {
        let (found, body) = world.call(&format!("GET /api/v1/watch?{query}"), headers, "").await;
        let body = String::from_utf8(body).unwrap();
        assert!(found == code && body.contains(says), "{query}: {found} {body}");
    }
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let world = World::new();
    for at in 1..=3 {
        world.change(W1, &port(at)).await;
        world.change("PUT /api/v1/services/web/instances/w%262", &port(at)).await;
    }
    let revisions = |page: &Value| -> Vec<u64> {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["revision"].as_u64().unwrap()).collect()
    };
    let whole = world.get("/api/v1/history").await;
    assert_eq!(revisions(&whole), [6, 5, 4, 3, 2, 1]);
    assert_eq!((&whole["complete_since"], &whole["next"]), (&json!(0), &Value::Null));
    let first = world.get("/api/v1/history?service=web&id=w%262&limit=2").await;
    assert_eq!(revisions(&first), [6, 4]);
    let next = first["next"].as_str().unwrap();
    assert_eq!(next, "/api/v1/history?limit=2&before=4&service=web&id=w%262");
    let second = world.get(next).await;
    assert_eq!((revisions(&second), &second["next"]), (vec![2], &Value::Null));
    assert_eq!(revisions(&world.get("/api/v1/history?service=db").await), [0_u64; 0]);
    for query in ["id=w1", "limit=0", "limit=1001", "before=x", "sort=up"] {
        let (code, _) = world.call(&format!("GET /api/v1/history?{query}"), "", "").await;
        assert_eq!(code, 422, "{query}");
    }
}
