//! One instance: registered, renewed, changed, cancelled.

use serde_json::json;

use super::{World, spring};
use crate::api::eureka::read;

#[tokio::test]
async fn an_instance_lives_as_its_client_says() {
    let world = World::new();
    let path = "/eureka/apps/SHOP/h%3Ashop%3A8080";
    assert_eq!(world.code(&format!("PUT {path}?status=UP&lastDirtyTimestamp=1")).await, 404);
    world.register(&spring("SHOP", "h:shop:8080", 8080)).await;
    assert_eq!(
        world.code(&format!("PUT {path}?status=UP&lastDirtyTimestamp=1700000000000")).await,
        200
    );
    assert_eq!(world.code("PUT /eureka/v2/apps/shop/h:shop:8080").await, 200);
    let newer = format!("PUT {path}?status=UP&lastDirtyTimestamp=1700000000001");
    assert_eq!(world.code(&newer).await, 404, "the client has changed it since");
    assert_eq!(world.code(&format!("PUT {path}?status=UNKNOWN")).await, 404);
    assert_eq!(world.code("PUT /eureka/apps/OTHER/h:shop:8080").await, 404);
    assert_eq!(world.code(&format!("DELETE {path}")).await, 200);
    assert_eq!(world.code(&format!("DELETE {path}")).await, 404);
    assert_eq!(world.code(&format!("PUT {path}")).await, 404);
}

#[tokio::test]
async fn what_is_registered_is_what_every_door_shows() {
    let world = World::new();
    let sent = spring("SHOP", "h:shop:8080", 8080);
    world.register(&sent).await;
    let native = world.native("shop", "h:shop:8080").await;
    for (key, value) in [
        ("origin", json!("eureka")),
        ("addresses", json!(["10.0.0.1"])),
        ("port", json!(8080)),
        ("ports", json!({"http": 8080})),
        ("lease_secs", json!(90)),
        ("tags", json!(["dc1"])),
        ("meta", json!({"management.port": "8080", "zone": "dc1"})),
        ("state", json!("up")),
        ("answering", json!(true)),
    ] {
        assert_eq!(native[key], value, "{key}");
    }
    let shown = world.get("/eureka/apps/SHOP/h:shop:8080").await;
    let (shown, sent) = (shown["instance"].as_object().unwrap(), &sent["instance"]);
    for key in [
        "instanceId",
        "hostName",
        "app",
        "ipAddr",
        "status",
        "overriddenStatus",
        "port",
        "securePort",
        "countryId",
        "dataCenterInfo",
        "metadata",
        "homePageUrl",
        "statusPageUrl",
        "healthCheckUrl",
        "vipAddress",
        "secureVipAddress",
        "isCoordinatingDiscoveryServer",
        "lastDirtyTimestamp",
        "actionType",
    ] {
        assert_eq!(shown[key], sent[key], "{key}");
    }
    assert_eq!(shown["leaseInfo"]["durationInSecs"], 90);
    assert!(shown["leaseInfo"]["registrationTimestamp"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(!shown.contains_key("asgName") && !shown.contains_key("sid"));
}

#[tokio::test]
async fn xml_says_the_same_as_json() {
    let world = World::new();
    let xml = "<instance><instanceId>i</instanceId><hostName>h</hostName><app>XML</app><ipAddr>fd00::1</ipAddr>\
        <status>STARTING</status><overriddenstatus>UNKNOWN</overriddenstatus><port enabled=\"false\">80</port>\
        <securePort enabled=\"true\">8443</securePort><countryId>1</countryId>\
        <dataCenterInfo class=\"com.netflix.appinfo.AmazonInfo\"><name>Amazon</name><metadata>\
        <availability-zone>us-east-1c</availability-zone><ami-id>a&amp;b</ami-id></metadata></dataCenterInfo>\
        <leaseInfo><durationInSecs>1</durationInSecs></leaseInfo><metadata><a__b>1</a__b></metadata></instance>";
    let headers = "content-type: application/xml";
    assert_eq!(world.call("POST /v2/apps/xml", headers, xml).await.0, 204);
    let json = world.get("/v2/apps/XML/i").await;
    let (code, body) = world.call("GET /v2/apps/XML/i", "", "").await;
    assert_eq!(code, 200);
    let text = String::from_utf8(body.clone()).unwrap();
    assert!(text.contains("<securePort enabled=\"true\">8443</securePort>"), "{text}");
    assert!(text.contains("<a__b>1</a__b>") && text.contains("<overriddenstatus>UNKNOWN<"));
    let from_xml = read::instance(Some("application/xml"), &body).unwrap();
    let from_json = read::instance(None, json.to_string().as_bytes()).unwrap();
    assert_eq!(from_xml, from_json);
    assert_eq!(json["instance"]["leaseInfo"]["durationInSecs"], 2, "clamped, and said so");
    assert_eq!(json["instance"]["leaseInfo"]["renewalIntervalInSecs"], 1);
    assert_eq!(json["instance"]["dataCenterInfo"]["@class"], "com.netflix.appinfo.AmazonInfo");
    let native = world.native("xml", "i").await;
    assert_eq!((&native["port"], &native["ports"]), (&json!(8443), &json!({"https": 8443})));
    assert_eq!((&native["state"], &native["state_reason"]), (&json!("down"), &json!("STARTING")));
    assert_eq!(native["tags"], json!(["us-east-1c"]));
}

#[tokio::test]
async fn a_status_is_set_above_and_ends() {
    let world = World::new();
    world.register(&spring("SHOP", "i", 80)).await;
    world.register(&spring("CART", "i", 80)).await;
    let statuses = async |app: &str| {
        let shown = world.get(&format!("/eureka/apps/{app}/i")).await;
        let text = |key: &str| shown["instance"][key].as_str().unwrap().to_owned();
        (text("status"), text("overriddenStatus"))
    };
    let is = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let set =
        "PUT /eureka/apps/SHOP/i/status?value=OUT_OF_SERVICE&reason=disk&lastDirtyTimestamp=1";
    assert_eq!(world.code(set).await, 200);
    assert_eq!(statuses("SHOP").await, is("OUT_OF_SERVICE", "OUT_OF_SERVICE"));
    assert_eq!(statuses("CART").await, is("UP", "UNKNOWN"), "it is by app and id");
    assert_eq!(world.native("shop", "i").await["override"]["reason"], "disk");
    world.register(&spring("SHOP", "i", 81)).await;
    assert_eq!(statuses("SHOP").await, is("OUT_OF_SERVICE", "OUT_OF_SERVICE"), "it stays");
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/i/status?value=UP").await, 200);
    assert_eq!(statuses("SHOP").await, is("UP", "UNKNOWN"));
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/status?value=STARTING").await, 200);
    assert_eq!(statuses("SHOP").await, is("STARTING", "STARTING"));
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/status?value=UP").await, 200);
    assert_eq!(statuses("SHOP").await, is("UP", "UNKNOWN"));
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/status?value=UNHAPPY").await, 400);
    assert_eq!(
        world.code("PUT /eureka/apps/SHOP/i/status?value=DOWN&expires_in_secs=0").await,
        400
    );
    assert_eq!(world.code("PUT /eureka/apps/SHOP/gone/status?value=UP").await, 404);
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/gone/status").await, 404);
}

#[tokio::test]
async fn metadata_is_changed_and_nothing_else() {
    let world = World::new();
    world.register(&spring("SHOP", "i", 80)).await;
    let before = world.get("/eureka/apps/SHOP/i").await;
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/metadata?zone=dc2&new=a%20b").await, 200);
    let after = world.get("/eureka/apps/SHOP/i").await;
    let expected = json!({"management.port": "80", "new": "a b", "zone": "dc2"});
    assert_eq!(after["instance"]["metadata"], expected);
    for key in ["port", "homePageUrl", "hostName", "lastDirtyTimestamp"] {
        assert_eq!(before["instance"][key], after["instance"][key], "{key}");
    }
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/metadata").await, 400);
    assert_eq!(world.code("PUT /eureka/apps/SHOP/gone/metadata?a=b").await, 404);
}

#[tokio::test]
async fn what_a_client_cannot_say_of_a_native_instance_stays() {
    let world = World::new();
    let native = json!({"addresses": ["10.0.0.1", "fd00::1"], "port": 80, "tags": ["blue"], "version": "2",
        "weight": 7, "priority": 3, "ports": {"metrics": 9090, "https": 8443}, "meta": {"a": "1"}});
    let put = "PUT /api/v1/services/web/instances/web-1";
    let json_type = "content-type: application/json";
    assert_eq!(world.call(put, json_type, native.to_string()).await.0, 201);
    let shown = world.get("/eureka/apps/WEB/web-1").await["instance"].take();
    assert_eq!((&shown["vipAddress"], &shown["hostName"]), (&json!("web"), &json!("10.0.0.1")));
    assert_eq!(shown["securePort"], json!({"$": 8443, "@enabled": "true"}));
    assert_eq!(world.code("PUT /eureka/apps/WEB/web-1/metadata?a=2").await, 200);
    assert_eq!(world.native("web", "web-1").await["origin"], "native");
    let mut again = spring("WEB", "web-1", 81);
    again["instance"]["metadata"] = json!({"b": "3"});
    world.register(&again).await;
    let kept = world.native("web", "web-1").await;
    for (key, value) in [
        ("addresses", json!(["10.0.0.1", "fd00::1"])),
        ("tags", json!(["blue"])),
        ("version", json!("2")),
        ("weight", json!(7)),
        ("priority", json!(3)),
        ("ports", json!({"http": 81, "metrics": 9090})),
        ("meta", json!({"b": "3"})),
        ("origin", json!("eureka")),
    ] {
        assert_eq!(kept[key], value, "{key}");
    }
}

#[tokio::test]
async fn vip_addresses_are_services_too() {
    let world = World::new();
    let mut sent = spring("SHOP", "i", 80);
    sent["instance"]["vipAddress"] = json!("shop,pay.example:80");
    sent["instance"]["secureVipAddress"] = json!("safe");
    sent["instance"]["securePort"] = json!({"$": 8443, "@enabled": true});
    world.register(&sent).await;
    assert_eq!(world.native("pay-example", "i").await["port"], 80);
    assert_eq!(world.native("safe", "i").await["port"], 8443);
    let by_vip = world.get("/eureka/vips/pay.example:80").await;
    assert_eq!(by_vip["applications"]["application"][0]["name"], "SHOP");
    assert_eq!(by_vip["applications"]["apps__hashcode"], "UP_1_");
    let by_svip = world.get("/eureka/svips/SAFE").await;
    assert_eq!(by_svip["applications"]["application"][0]["instance"][0]["instanceId"], "i");
    let none = world.get("/eureka/vips/nothing").await;
    assert_eq!(none["applications"]["application"], json!([]));
    let all = world.get("/eureka/apps").await;
    assert_eq!(all["applications"]["apps__hashcode"], "UP_1_", "it is listed once");
    assert_eq!(world.code("GET /eureka/apps/SAFE").await, 404);

    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/status?value=DOWN").await, 200);
    assert_eq!(world.native("safe", "i").await["answering"], false);
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i").await, 200);
    sent["instance"]["secureVipAddress"] = json!("");
    sent["instance"]["lastDirtyTimestamp"] = json!("1700000000001");
    world.register(&sent).await;
    assert_eq!(world.call("GET /api/v1/services/safe", "", "").await.0, 404, "it has left");
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/i").await, 200);
    assert_eq!(world.registrar.listed(), (0, 0));
}

#[tokio::test]
async fn what_an_operator_keeps_out_comes_to_no_other_name() {
    let world = World::new();
    let mut sent = spring("SHOP", "i", 80);
    world.register(&sent).await;
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i/status?value=DOWN").await, 200);
    sent["instance"]["vipAddress"] = json!("shop,pay");
    world.register(&sent).await;
    assert_eq!(world.call("GET /api/v1/services/pay", "", "").await.0, 404);
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i").await, 404, "it is asked to register again");
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/i/status").await, 200);
    world.register(&sent).await;
    assert_eq!(world.native("pay", "i").await["answering"], true);
    assert_eq!(world.code("PUT /eureka/apps/SHOP/i").await, 200);
}

#[tokio::test]
async fn one_that_has_its_app_there_goes_before_one_that_has_a_vip_address() {
    let world = World::new();
    let mut first = spring("SHOP", "host", 80);
    first["instance"]["vipAddress"] = json!("cart");
    world.register(&first).await;
    assert_eq!(world.native("cart", "host").await["port"], 80);
    world.register(&spring("CART", "host", 81)).await;
    world.register(&first).await;
    assert_eq!(world.native("cart", "host").await["port"], 81);
    assert_eq!(world.code("PUT /eureka/apps/SHOP/host").await, 200);
    assert_eq!(world.code("DELETE /eureka/apps/SHOP/host").await, 200);
    assert_eq!(world.native("cart", "host").await["port"], 81);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let world = World::new();
    world.register(&spring("A_B", "i", 80)).await;
    world.register(&spring("ÉTÉ", "i", 80)).await;
    assert_eq!(world.code("PUT /eureka/apps/%C3%A9t%C3%A9/i").await, 200);
    let (code, _) = world.post("/eureka/apps/A-B", &spring("A-B", "i", 81)).await;
    assert_eq!(code, 409, "both are the service a-b");
    assert_eq!(world.native("a-b", "i").await["port"], 80);
    for (path, key, value, says) in [
        ("/eureka/apps/OTHER", "app", json!("SHOP"), "must be the app that the path names"),
        ("/eureka/apps/SHOP", "ipAddr", json!("nowhere"), "is not an IPv4 or IPv6 address"),
        ("/eureka/apps/SHOP", "hostName", json!(" "), "must not be empty"),
        ("/eureka/apps/SHOP", "port", json!({"$": 0}), "must be 1 to 65535"),
        ("/eureka/apps/SHOP", "instanceId", json!("a\nb"), "must not hold control characters"),
        ("/eureka/apps/SHOP", "metadata", json!({"k": "x".repeat(5000)}), "octets, may have 4096"),
        ("/eureka/apps/SHOP", "homePageUrl", json!("x".repeat(9000)), "octets, may have 8192"),
    ] {
        let mut sent = spring("SHOP", "i", 80);
        sent["instance"][key] = value;
        let (code, body) = world.post(path, &sent).await;
        let text = String::from_utf8(body).unwrap();
        assert!(code == 400 && text.contains(says), "{key}: {code} {text}");
    }
    assert_eq!(world.code("GET /eureka/apps/SHOP").await, 404);
    let form = "content-type: application/x-www-form-urlencoded";
    let put = world.call("PUT /eureka/apps/A_B/i?status=UP", form, "").await;
    assert_eq!(put.0, 200, "some write it with every PUT");
    let old = world.call("POST /eureka/apps/SHOP", "content-type: text/plain", "x").await;
    assert_eq!(old.0, 415, "a page could send it");
}

#[tokio::test]
async fn an_older_registration_renews_and_no_more() {
    let world = World::new();
    world.register(&spring("SHOP", "i", 80)).await;
    let mut older = spring("SHOP", "i", 81);
    older["instance"]["lastDirtyTimestamp"] = json!(1_600_000_000_000_u64);
    world.register(&older).await;
    assert_eq!(world.native("shop", "i").await["port"], 80);
    older["instance"].as_object_mut().unwrap().remove("lastDirtyTimestamp");
    world.register(&older).await;
    assert_eq!(world.native("shop", "i").await["port"], 81);
}

#[tokio::test]
async fn a_zone_that_is_the_name_of_an_instance_is_no_tag() {
    let world = World::new();
    world.register(&spring("SHOP", "dc1", 80)).await;
    world.register(&spring("SHOP", "i", 80)).await;
    assert_eq!(world.native("shop", "i").await["tags"], json!([]));
    assert_eq!(world.native("shop", "i").await["meta"]["zone"], "dc1");
}
