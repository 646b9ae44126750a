//! Lists: whole, changed lately, compressed.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{World, spring};
use crate::api::eureka::catalogue::{Catalogue, DELTA_MS, Now};
use crate::api::eureka::fragment::Form;
use crate::api::eureka::write::Format;
use crate::view::LeaseTime;

const JSON: Form = Form { format: Format::Json, gzip: false };

fn ids(list: &Value) -> Vec<(String, String)> {
    let apps = list["applications"]["application"].as_array().unwrap();
    let instances = apps.iter().flat_map(|app| app["instance"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    instances.map(|one| (text(&one["instanceId"]), text(&one["actionType"]))).collect()
}

fn read(document: &super::super::catalogue::Document) -> Value {
    serde_json::from_slice(&document.pieces.concat()).unwrap()
}

#[tokio::test]
async fn a_change_is_in_the_next_list() {
    let world = World::new();
    let empty = world.get("/eureka/apps").await;
    assert_eq!(empty["applications"]["application"], json!([]));
    assert_eq!(empty["applications"]["apps__hashcode"], "");
    for n in 0..3 {
        world.register(&spring("SHOP", &format!("s{n}"), 80)).await;
        let list = world.get("/eureka/apps/").await;
        assert_eq!(ids(&list).len(), n + 1);
        assert_eq!(list["applications"]["apps__hashcode"], format!("UP_{}_", n + 1));
    }
    world.register(&spring("CART", "c", 80)).await;
    let list = world.get("/eureka/apps?regions=a").await;
    let names: Vec<_> = list["applications"]["application"].as_array().unwrap().iter().collect();
    assert_eq!([&names[0]["name"], &names[1]["name"]], ["CART", "SHOP"]);
    let version =
        |list: &Value| list["applications"]["versions__delta"].as_str().unwrap().parse::<u64>();
    let before = version(&list).unwrap();
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/s1").await, 200);
    let list = world.get("/eureka/apps").await;
    assert_eq!(ids(&list).len(), 3);
    assert!(version(&list).unwrap() > before);
    assert_eq!(world.get("/eureka/apps/cart").await["application"]["instance"][0]["app"], "CART");
    assert_eq!(world.get("/eureka/instances/s2").await["instance"]["instanceId"], "s2");
    for gone in ["/eureka/apps/NONE", "/eureka/apps/SHOP/s1", "/eureka/instances/s1"] {
        assert_eq!(world.code(&format!("GET {gone}")).await, 404);
    }
}

#[tokio::test]
async fn every_form_says_the_same() {
    let world = World::new();
    for n in 0..300 {
        world.register(&spring(&format!("APP{}", n % 7), &format!("i{n}"), 80)).await;
    }
    for headers in ["", "accept: application/json"] {
        let plain = world.call("GET /eureka/apps", headers, "").await;
        let zipped = format!("{headers}\naccept-encoding: gzip");
        let (code, octets) = world.call("GET /eureka/apps", &zipped, "").await;
        assert!(
            code == 200 && octets.len() * 5 < plain.1.len(),
            "{} of {}",
            octets.len(),
            plain.1.len()
        );
        let mut text = Vec::new();
        GzDecoder::new(&*octets).read_to_end(&mut text).unwrap();
        assert!(text == plain.1, "{headers}");
    }
    let sent = super::spring("ZIP", "i", 80).to_string();
    let mut zip = flate2::read::GzEncoder::new(sent.as_bytes(), flate2::Compression::fast());
    let mut body = Vec::new();
    zip.read_to_end(&mut body).unwrap();
    let headers = "content-type: application/json\ncontent-encoding: gzip";
    assert_eq!(world.call("POST /eureka/apps/ZIP", headers, body).await.0, 204);
    assert_eq!(world.call("POST /eureka/apps/ZIP", headers, "x").await.0, 400);
}

#[tokio::test]
async fn a_delta_has_the_last_of_each_and_the_hash_of_all() {
    let world = World::new();
    world.register(&spring("SHOP", "before", 80)).await;
    world.get("/eureka/apps").await;
    for id in ["stays", "goes"] {
        world.register(&spring("SHOP", id, 80)).await;
    }
    assert_eq!(world.code("PUT /eureka/apps/SHOP/before/status?value=DOWN").await, 200);
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/goes").await, 200);
    let delta = world.get("/eureka/apps/delta").await;
    let is = |id: &str, action: &str| (id.to_owned(), action.to_owned());
    assert_eq!(
        ids(&delta),
        [is("before", "MODIFIED"), is("goes", "DELETED"), is("stays", "ADDED")]
    );
    let all = world.get("/eureka/apps").await;
    for key in ["apps__hashcode", "versions__delta"] {
        assert_eq!(delta["applications"][key], all["applications"][key], "{key}");
    }
    assert_eq!(all["applications"]["apps__hashcode"], "DOWN_1_UP_1_");
}

#[tokio::test]
async fn a_delta_forgets_and_a_copy_that_may_have_missed_something_is_told() {
    let world = World::new();
    world.register(&spring("SHOP", "one", 80)).await;
    let mut catalogue = Catalogue::new(1);
    let at = |ms| Now { lease: LeaseTime::from_millis(ms), unix_ms: 1 };
    let start = world.registrar.now().millis();
    catalogue.refresh(&world.registrar, at(start));
    world.register(&spring("SHOP", "two", 80)).await;
    catalogue.refresh(&world.registrar, at(start));
    assert_eq!(ids(&read(&catalogue.delta(JSON, at(start), None))).len(), 1);
    let later = world.registrar.now().millis() + DELTA_MS + 1;
    catalogue.refresh(&world.registrar, at(later));
    assert_eq!(ids(&read(&catalogue.delta(JSON, at(later), None))), []);
    assert_eq!(ids(&read(&catalogue.all(JSON, at(later)))).len(), 2);
}

#[tokio::test]
async fn who_may_hold_a_copy_from_before_asks_for_the_whole_list() {
    let mut world = World::new();
    world.register(&spring("SHOP", "one", 80)).await;
    let hash = async |world: &World| {
        let delta = world.get("/eureka/apps/delta").await;
        delta["applications"]["apps__hashcode"].as_str().unwrap().to_owned()
    };
    assert_eq!(hash(&world).await, "UP_1_");
    let version =
        |list: &Value| list["applications"]["versions__delta"].as_str().unwrap().parse::<u64>();
    let before = version(&world.get("/eureka/apps").await).unwrap();
    world.restart();
    assert_eq!(hash(&world).await, "UP_1_RESYNC_1_", "no copy has counted that");
    let all = world.get("/eureka/apps").await;
    assert_eq!(all["applications"]["apps__hashcode"], "UP_1_");
    assert!(version(&all).unwrap() > before);
}

#[tokio::test]
async fn a_list_is_for_who_may_read() {
    let world = World::new();
    world.register(&spring("SHOP", "one", 80)).await;
    world.register(&spring("CART", "two", 80)).await;
    let mut catalogue = Catalogue::new(1);
    let now = Now { lease: world.registrar.now(), unix_ms: 1 };
    catalogue.refresh(&world.registrar, now);
    let shop = catalogue.list(JSON, |service| service == "shop");
    assert_eq!(ids(&read(&shop)).len(), 1);
    assert_eq!(read(&shop)["applications"]["apps__hashcode"], "UP_1_");
    let is_shop: &dyn Fn(&str) -> bool = &|service| service == "shop";
    let delta = read(&catalogue.delta(JSON, now, Some(is_shop)));
    assert_eq!(delta["applications"]["apps__hashcode"], "UP_1_");
}

#[tokio::test]
async fn a_deletion_is_not_hidden_by_another_app_with_the_id() {
    let world = World::new();
    world.register(&spring("BETA", "i0", 80)).await;
    world.register(&spring("A_B", "i", 80)).await;
    world.get("/eureka/apps").await;
    assert_eq!(world.code("DELETE /eureka/apps/BETA/i0").await, 200);
    assert_eq!(world.code("DELETE /eureka/apps/A_B/i").await, 200);
    let mut alpha = spring("ALPHA", "i0", 80);
    alpha["instance"]["vipAddress"] = json!("beta");
    world.register(&alpha).await;
    world.register(&spring("A-B", "i", 80)).await;
    let delta = world.get("/eureka/apps/delta").await;
    let apps = delta["applications"]["application"].as_array().unwrap();
    let of = |app: &&Value| (app["name"].clone(), app["instance"][0]["actionType"].clone());
    let found: Vec<_> = apps.iter().map(|app| of(&app)).collect();
    let is = |app: &str, action: &str| (json!(app), json!(action));
    assert_eq!(
        found,
        [is("A-B", "ADDED"), is("ALPHA", "ADDED"), is("A_B", "DELETED"), is("BETA", "DELETED")]
    );
}
