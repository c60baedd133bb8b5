//! A port is chosen once, kept, and given back with its instance.

use mira_store::{PortRequest, StoreError};

use crate::common::{Place, new, run};

fn web() -> PortRequest {
    PortRequest {
        service: "web".to_owned(),
        name: "http".to_owned(),
        prefer: Some(8080),
    }
}

#[test]
fn a_port_is_kept_over_restarts_and_is_nobody_elses() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let one = store.insert_instance(&new()).await.unwrap().id;
        let two = store.insert_instance(&new()).await.unwrap().id;
        assert_eq!(store.allocate_port(&one, &web(), &|_| true).await, Ok(8080));
        assert_eq!(store.allocate_port(&two, &web(), &|_| true).await, Ok(8081));
        let admin = PortRequest {
            name: "admin".to_owned(),
            ..web()
        };
        assert_eq!(store.allocate_port(&one, &admin, &|_| true).await, Ok(8082));
        store.close().await;

        let store = place.store().await;
        // It is not asked whether the port that is already there is free: the service itself may still hold it.
        assert_eq!(
            store.allocate_port(&one, &web(), &|_| false).await,
            Ok(8080)
        );
        let ports: Vec<u16> = store
            .ports(&one)
            .await
            .unwrap()
            .into_iter()
            .map(|port| port.number)
            .collect();
        assert_eq!(ports, [8082, 8080], "by service and name");

        store.begin_delete(&one).await.unwrap();
        store.finish_delete(&one).await.unwrap();
        let three = store.insert_instance(&new()).await.unwrap().id;
        assert_eq!(
            store.allocate_port(&three, &web(), &|_| true).await,
            Ok(8080)
        );
        assert!(store.release_port(&two, "web", "http").await.unwrap());
        assert!(!store.release_port(&two, "web", "http").await.unwrap());
        assert_eq!(store.ports(&two).await.unwrap(), []);
    });
}

#[test]
fn a_port_that_something_else_took_is_replaced_once() {
    let place = Place::new();
    run(async {
        let store = place.store().await;
        let id = store.insert_instance(&new()).await.unwrap().id;
        let free = |number: u16| number != 8081;
        assert_eq!(store.allocate_port(&id, &web(), &free).await, Ok(8080));
        let moved = store.reallocate_port(&id, &web(), 8080, &free).await;
        assert_eq!(moved, Ok(8082), "8080 is in use, whatever the probe says");
        // Somebody else who saw the same port in use gets the same answer.
        let again = store.reallocate_port(&id, &web(), 8080, &free).await;
        assert_eq!(again, Ok(8082));
        let refused = store.reallocate_port(&id, &web(), 8082, &|_| false).await;
        assert!(matches!(refused, Err(StoreError::NoFreePort { .. })));
        assert_eq!(store.allocate_port(&id, &web(), &free).await, Ok(8082));
        // Nor is a port in use given out again because it was released meanwhile.
        store.release_port(&id, "web", "http").await.unwrap();
        let moved = store.reallocate_port(&id, &web(), 8080, &|_| true).await;
        assert_eq!(moved, Ok(8081));
    });
}
