//! No token, no password and nothing that was typed in a password's place is in the database.

use std::time::Duration;

use mira_store::{
    Actor, AuditAction, AuditEntry, LinkPurpose, NewApiToken, NewSession, Outcome, Role,
    SessionKind, SessionOf, Shared, TokenScope,
};
use mira_testkit::canary::{Canary, Findings, Sweep};

use crate::shared::ground::{DATABASE, DAY, Ground, add, at, on_both};

on_both! {
    the_database_holds_no_token_and_no_password
    a_sweep_sees_what_is_in_the_database
}

impl Ground {
    /// Looks at every byte that the database has on the disk.
    fn swept(&self, canaries: &[Canary]) -> Findings {
        let sweep = Sweep::new(canaries);
        match self {
            Self::File(home) => sweep.folder(&home.mira_home()),
            Self::Postgres(server) => {
                server.sql(DATABASE, "CHECKPOINT");
                sweep.folder(&server.data())
            }
        }
    }
}

async fn the_database_holds_no_token_and_no_password(ground: Ground) {
    let shared = ground.shared().await;
    let anna = add(&shared, "anna", Role::Admin).await;
    let mut canaries = Canary::generate();
    for canary in &canaries {
        // A password where the name belongs.
        let typed = String::from_utf8_lossy(canary.value()).into_owned();
        let address = "192.0.2.1".parse().unwrap();
        shared.attempt_login(&typed, address, at(0)).await.unwrap();
        shared
            .login_succeeded(&typed, address, at(0))
            .await
            .unwrap();
        shared.attempt_login(&typed, address, at(0)).await.unwrap();
    }
    let session = NewSession {
        of: SessionOf::User(&anna),
        kind: SessionKind::Password,
        idle: Duration::from_secs(3600),
        expires: at(DAY),
        address: None,
        user_agent: "",
    };
    let (token, _) = shared.create_session(&session, at(0)).await.unwrap();
    shared.find_session(&token, at(100)).await.unwrap().unwrap();
    canaries.push(Canary::new("SESSION", token.expose()));
    let link = shared
        .make_link(LinkPurpose::LocalOwner, at(DAY), at(0))
        .await
        .unwrap();
    canaries.push(Canary::new("LINK", link.expose()));
    let new = NewApiToken {
        user: &anna.id,
        name: "job",
        scope: TokenScope::Read,
        expires: None,
    };
    let (token, _) = shared.create_api_token(&new, at(0)).await.unwrap();
    shared
        .find_api_token(&token, at(100))
        .await
        .unwrap()
        .unwrap();
    canaries.push(Canary::new("API_TOKEN", token.expose()));
    // The random part alone would do as well.
    let (_, body) = token.expose().split_at(5);
    canaries.push(Canary::new("API_TOKEN_BODY", body));
    ground.swept(&canaries).assert_clean();
    shared.close().await;
    ground.swept(&canaries).assert_clean();
}

async fn a_sweep_sees_what_is_in_the_database(ground: Ground) {
    let shared: Shared = ground.shared().await;
    let canary = Canary::new("PLANTED", "planted-0123456789abcdef");
    let entry = AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action: AuditAction::SecretSet,
        subject: "planted-0123456789abcdef",
        outcome: Outcome::Ok,
    };
    shared.record(&entry, at(0)).await.unwrap();
    assert!(!ground.swept(&[canary]).is_clean());
}
