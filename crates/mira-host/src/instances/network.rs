//! What an instance may call: the rules of its manifest and the person's decisions, in one order; and whether they are enforced.
//!
//! INVARIANT: the rules are of one place, here: what `mira net rules` shows is what the gate is given.

use mira_gate::{Origin, Rule};
use mira_package::manifest::{Delivery, HostPattern, Manifest};
use mira_store::Instance;

use super::{InstanceError, Instances};

impl Instances {
    /// Returns the rules by which an instance calls hosts: the manifest's, those of its brokered secrets, then the decisions, the latest
    /// last. Of those that fit a host, the last one decides.
    ///
    /// # Errors
    ///
    /// The database refuses, or holds a decision that cannot be read: left out, it would allow what it forbids.
    pub async fn policy_rules(
        &self,
        instance: &Instance,
        manifest: &Manifest,
    ) -> Result<Vec<Rule>, InstanceError> {
        let mut rules = Self::manifest_rules(manifest);
        for decision in self.store.decisions(&instance.id).await? {
            let hosts = decision.host.parse();
            let hosts = hosts.map_err(|source| InstanceError::Decision {
                instance: instance.name.to_string(),
                host: decision.host,
                source,
            })?;
            rules.push(Rule {
                hosts,
                allow: decision.allow,
                origin: Origin::Decision,
            });
        }
        Ok(rules)
    }

    /// Returns the rules that an app comes with: of its manifest, and of its brokered secrets.
    #[must_use]
    pub fn manifest_rules(manifest: &Manifest) -> Vec<Rule> {
        let rule = |hosts: &HostPattern, origin: Origin| Rule {
            hosts: hosts.clone(),
            allow: true,
            origin,
        };
        let listed = manifest.network.iter();
        let listed = listed.map(|hosts| rule(hosts, Origin::Manifest));
        let brokered = manifest.secrets.iter();
        let brokered = brokered.filter(|secret| secret.deliver == Delivery::Brokered);
        let brokered = brokered.flat_map(|secret| {
            let hosts = secret.hosts.iter();
            hosts.map(|hosts| rule(hosts, Origin::Secret(secret.name.clone())))
        });
        listed.chain(brokered).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
kind: mira.app/v1
id: org.example.app
name: App
version: 1.0.0
services: [{name: web, command: [x]}]
secrets:
  - {name: KEY, deliver: brokered, hosts: [api.example.org, "*.example.net:8443"]}
  - {name: OTHER, hosts: [elsewhere.example.org]}
network: {allow: [www.example.org]}
"#;

    #[test]
    fn an_app_calls_what_it_lists_and_the_hosts_of_its_brokered_secrets() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let rules = Instances::manifest_rules(&manifest);
        let told: Vec<String> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "allow www.example.org (manifest)",
                "allow api.example.org (secret KEY)",
                "allow *.example.net:8443 (secret KEY)",
            ]
        );
    }
}
