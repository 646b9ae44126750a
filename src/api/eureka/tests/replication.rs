//! What another server hands on, and what is copied from one.

use serde_json::{Value, json};

use super::{World, spring};

const BATCH: &str = "/eureka/peerreplication/batch/";

fn item(action: &str, app: &str, id: &str, dirty: u64) -> Value {
    json!({"appName": app, "id": id, "lastDirtyTimestamp": dirty, "overriddenStatus": null,
        "status": null, "instanceInfo": null, "action": action})
}

fn register(app: &str, id: &str, dirty: u64) -> Value {
    let mut info = spring(app, id, 80)["instance"].take();
    info["lastDirtyTimestamp"] = json!(dirty.to_string());
    let mut item = item("Register", app, id, dirty);
    item["instanceInfo"] = info;
    item
}

async fn batch(world: &World, headers: &str, items: Vec<Value>) -> Vec<Value> {
    let headers = format!("content-type: application/json\n{headers}");
    let body = json!({ "replicationList": items }).to_string();
    let (code, body) = world.call(&format!("POST {BATCH}"), &headers, body).await;
    assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
    let mut value: Value = serde_json::from_slice(&body).unwrap();
    value["responseList"].as_array_mut().unwrap().drain(..).collect()
}

fn codes(answers: &[Value]) -> Vec<u64> {
    answers.iter().map(|answer| answer["statusCode"].as_u64().unwrap()).collect()
}

const PEER: &str = "x-netflix-discovery-replication: true";

#[tokio::test]
async fn a_server_hands_on_what_it_was_told() {
    let world = World::new();
    let unknown = batch(&world, PEER, vec![item("Heartbeat", "SHOP", "i", 7)]).await;
    assert_eq!(codes(&unknown), [404], "it sends the registration then");
    let answers = batch(
        &world,
        PEER,
        vec![
            register("SHOP", "i", 7),
            register("CART", "c", 7),
            item("Heartbeat", "SHOP", "i", 7),
            item("Heartbeat", "SHOP", "i", 8),
            item("Nonsense", "SHOP", "i", 8),
        ],
    )
    .await;
    assert_eq!(codes(&answers), [200, 200, 200, 404, 400]);
    let mut set = item("StatusUpdate", "SHOP", "i", 7);
    set["status"] = json!("OUT_OF_SERVICE");
    assert_eq!(codes(&batch(&world, PEER, vec![set]).await), [200]);
    assert_eq!(world.native("shop", "i").await["override"]["state"], "draining");
    let rest = vec![
        item("DeleteStatusOverride", "SHOP", "i", 7),
        item("Cancel", "CART", "c", 7),
        item("Cancel", "CART", "c", 7),
    ];
    assert_eq!(codes(&batch(&world, PEER, rest).await), [200, 200, 404]);
    assert_eq!(world.native("shop", "i").await["override"], Value::Null);
}

#[tokio::test]
async fn a_server_whose_copy_is_older_is_given_ours() {
    let world = World::new();
    batch(&world, PEER, vec![register("SHOP", "i", 9)]).await;
    let old = vec![register("SHOP", "i", 7), item("Heartbeat", "SHOP", "i", 7)];
    let answers = batch(&world, PEER, old).await;
    assert_eq!(codes(&answers), [409, 409]);
    for answer in &answers {
        assert_eq!(answer["responseEntity"]["lastDirtyTimestamp"], "9");
        assert_eq!(answer["responseEntity"]["instanceId"], "i");
    }
}

#[tokio::test]
async fn many_of_a_batch_meet_in_few_commits() {
    let world = World::new();
    let items: Vec<_> = (0..250).map(|n| register("SHOP", &format!("i{n}"), 7)).collect();
    let answers = batch(&world, PEER, items).await;
    assert!(codes(&answers).iter().all(|code| *code == 200));
    assert_eq!(world.registrar.listed(), (250, 1));
    let commits = world.registrar.figures().commits;
    assert!(commits < 200, "{commits} commits");
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let world = World::new();
    for body in ["", "[]", "{}", r#"{"replicationList":{}}"#] {
        let headers = "content-type: application/json";
        assert_eq!(world.call(&format!("POST {BATCH}"), headers, body).await.0, 400, "{body}");
    }
    let items = vec![json!(null), json!({}), json!({"action": 7}), json!("x")];
    assert_eq!(codes(&batch(&world, PEER, items).await), [400; 4]);
    let many = json!({ "replicationList": vec![0; 1001] });
    assert_eq!(world.post(BATCH, &many).await.0, 400);
}

#[tokio::test]
async fn a_copy_gives_way_to_the_instance_itself() {
    let world = World::new();
    let copied = "x-rollcall-mirrored-from: http://eureka.example:8761/eureka";
    batch(&world, copied, vec![register("SHOP", "i", 7), register("SHOP", "other", 7)]).await;
    let shown = world.native("shop", "i").await;
    assert_eq!(shown["origin"], "eureka");
    assert_eq!(shown["mirrored_from"], "http://eureka.example:8761/eureka");
    assert_eq!(codes(&batch(&world, copied, vec![item("Heartbeat", "SHOP", "i", 7)]).await), [200]);
    world.register(&spring("SHOP", "i", 81)).await;
    let again = vec![
        item("Heartbeat", "SHOP", "i", 7),
        register("SHOP", "i", 8),
        item("Cancel", "SHOP", "i", 7),
        item("Cancel", "SHOP", "other", 7),
    ];
    assert_eq!(codes(&batch(&world, copied, again).await), [409, 409, 409, 200]);
    let shown = world.native("shop", "i").await;
    assert_eq!((&shown["port"], shown.get("mirrored_from")), (&json!(81), None));
}

#[tokio::test]
async fn who_copies_is_told_why_something_is_refused() {
    let world = World::new();
    let copied = "x-rollcall-mirrored-from: http://eureka.example:8761/eureka";
    let mut bad = register("SHOP", "bad", 7);
    bad["instanceInfo"]["ipAddr"] = json!("nowhere");
    bad["instanceInfo"]["hostName"] = json!("nowhere");
    let clash = register("my-app", "i", 7);
    batch(&world, copied, vec![register("MY_APP", "i", 7)]).await;
    let answers = batch(&world, copied, vec![bad.clone(), clash]).await;
    assert_eq!(codes(&answers), [400, 400]);
    let detail = |at: usize| answers[at]["detail"].as_str().unwrap();
    assert!(detail(0).starts_with("ipAddr: `nowhere`"), "{answers:?}");
    assert!(detail(1).starts_with("app: has the name of one of `MY_APP`"), "{answers:?}");
    assert_eq!(batch(&world, PEER, vec![bad]).await, [json!({ "statusCode": 400 })]);
}
