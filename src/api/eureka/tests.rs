//! The door with a registrar behind it: calls as clients make them, and what is listed then.

use serde_json::{Value, json};

pub(super) use crate::api::testing::World;

mod lists;
mod replication;
mod rest;

impl World {
    /// The code of a call without a body; what is answered has none either.
    pub(super) async fn code(&self, call: &str) -> u16 {
        let (code, body) = self.call(call, "", "").await;
        if code == 200 || code == 404 {
            assert_eq!(String::from_utf8_lossy(&body), "", "{call}");
        }
        code
    }

    /// Sends JSON.
    pub(super) async fn post(&self, path: &str, value: &Value) -> (u16, Vec<u8>) {
        let headers = "content-type: application/json";
        self.call(&format!("POST {path}"), headers, value.to_string()).await
    }

    /// Registers an instance, which is taken.
    pub(super) async fn register(&self, instance: &Value) {
        let app = instance["instance"]["app"].as_str().unwrap();
        let (code, body) = self.post(&format!("/eureka/apps/{app}"), instance).await;
        assert_eq!(code, 204, "{}", String::from_utf8_lossy(&body));
        assert!(body.is_empty());
    }
}

/// An instance as a client of Spring Cloud registers it.
pub(super) fn spring(app: &str, id: &str, port: u16) -> Value {
    json!({"instance": {
        "instanceId": id, "app": app, "appGroupName": null, "ipAddr": "10.0.0.1", "sid": "na",
        "homePageUrl": format!("http://h:{port}/"), "statusPageUrl": format!("http://h:{port}/actuator/info"),
        "healthCheckUrl": format!("http://h:{port}/actuator/health"), "secureHealthCheckUrl": null,
        "vipAddress": app.to_lowercase(), "secureVipAddress": app.to_lowercase(), "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "hostName": "h.example", "status": "UP", "overriddenStatus": "UNKNOWN",
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90, "registrationTimestamp": 0,
            "lastRenewalTimestamp": 0, "evictionTimestamp": 0, "serviceUpTimestamp": 0},
        "isCoordinatingDiscoveryServer": "false", "lastUpdatedTimestamp": "1700000000000",
        "lastDirtyTimestamp": "1700000000000", "actionType": "ADDED", "asgName": null,
        "port": {"$": port, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"},
        "metadata": {"management.port": port.to_string(), "zone": "dc1"}}})
}
