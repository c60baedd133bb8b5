//! AWS: whose keys these are (STS), whether they may use Bedrock, and whether a model answers; and where keys come from.
//!
//! Requests are signed by the `aws-sigv4` crate. The services and their errors are those of the API references of STS (`GetCallerIdentity`),
//! Bedrock (`ListFoundationModels`) and Bedrock Runtime (`Converse`).

mod import;
mod refusal;
mod sign;

use http::{Method, Request};
use mira_vault::AwsCredentials;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

pub use import::{
    Files, FilesError, INPUT_BYTES_MAX, ImportError, Imported, from_profile, from_text,
    parse_expiry,
};

use crate::call::{Answer, Caller};
use crate::fault::Fault;
use crate::said::Keys;
use mira_vault::settings::BaseUrl;
use mira_vault::settings::{ModelName, Region};

/// What stays as it is in a path (RFC 3986, section 2.3), as AWS's own clients write a model's name.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// With these keys.
    pub credentials: &'a AwsCredentials,
    /// In this region.
    pub region: &'a Region,
    /// At this address instead of AWS's own, for all services: a gateway's.
    pub endpoint: Option<&'a BaseUrl>,
    /// Ask this model for one token.
    pub model: Option<&'a ModelName>,
}

/// Whose keys they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The user or role.
    pub arn: String,
}

/// What came of it, service by service; nothing where an earlier one made it pointless to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// STS: whose keys they are.
    pub identity: Result<Identity, Fault>,
    /// Bedrock: how many models the region has.
    pub bedrock: Option<Result<usize, Fault>>,
    /// Whether the model answered.
    pub model: Option<Result<(), Fault>>,
}

impl Report {
    /// Returns what was wrong.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        let identity = self.identity.as_ref().err();
        let bedrock = self
            .bedrock
            .as_ref()
            .and_then(|bedrock| bedrock.as_ref().err());
        let model = self.model.as_ref().and_then(|model| model.as_ref().err());
        [identity, bedrock, model].into_iter().flatten()
    }

    /// Returns what came of it: a line for each service that was asked, with the service's name.
    #[must_use]
    pub fn lines(&self, region: &Region) -> Vec<(&'static str, String)> {
        let told = |result: Result<String, &Fault>| {
            result.unwrap_or_else(|fault| format!("FAILED: {fault}"))
        };
        let identity = self.identity.as_ref();
        let identity = identity.map(|who| format!("account {}, {}", who.account, who.arn));
        let mut lines = vec![("STS", told(identity))];
        if let Some(bedrock) = &self.bedrock {
            let models = bedrock.as_ref();
            let models = models.map(|models| format!("{models} models in {region}"));
            lines.push(("Bedrock", told(models)));
        }
        if let Some(model) = &self.model {
            let answered = model.as_ref().map(|()| "it answered".to_owned());
            lines.push(("Model", told(answered)));
        }
        lines
    }

    /// Returns whether all was well.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults().next().is_none()
    }
}

/// A service of AWS, as signatures and host names know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service {
    /// What its host name begins with.
    host: &'static str,
    /// What is in the signature's scope.
    name: &'static str,
}

const STS: Service = Service {
    host: "sts",
    name: "sts",
};
const BEDROCK: Service = Service {
    host: "bedrock",
    name: "bedrock",
};
const RUNTIME: Service = Service {
    host: "bedrock-runtime",
    name: "bedrock",
};

/// Tries keys: STS, then Bedrock, then the model, for as long as there is a point in it.
pub async fn test(caller: &Caller, trial: &Trial<'_>) -> Report {
    let keys = keys_of(trial.credentials);
    let trying = Trying {
        caller,
        trial,
        keys,
    };
    let identity = trying.identity().await;
    if identity.is_err() {
        return Report {
            identity,
            bedrock: None,
            model: None,
        };
    }
    let bedrock = trying.bedrock().await;
    let model = match trial.model {
        Some(model) if !matches!(bedrock, Err(Fault::NoBedrock { .. })) => {
            Some(trying.model(model).await)
        }
        _ => None,
    };
    Report {
        identity,
        bedrock: Some(bedrock),
        model,
    }
}

fn keys_of(credentials: &AwsCredentials) -> Keys {
    let parts = [
        Some(credentials.access_key_id()),
        Some(credentials.secret_access_key()),
        credentials.session_token(),
    ];
    let parts = mira_vault::AWS_VARIABLES.into_iter().zip(parts);
    // EXPOSE: to the redactor, which takes it out of what AWS says.
    Keys::new(parts.filter_map(|(name, part)| Some((name, part?.expose()))))
}

struct Trying<'a> {
    caller: &'a Caller,
    trial: &'a Trial<'a>,
    keys: Keys,
}

impl Trying<'_> {
    async fn identity(&self) -> Result<Identity, Fault> {
        let body = "Action=GetCallerIdentity&Version=2011-06-15";
        let content = Some((
            "application/x-www-form-urlencoded; charset=utf-8",
            body.to_owned(),
        ));
        let answer = self.call(STS, Method::POST, "/", content).await?;
        self.check(&answer, "sts:GetCallerIdentity", None)?;
        let identity = refusal::identity(&answer);
        identity.ok_or_else(|| self.not_aws(&answer, "AWS STS"))
    }

    async fn bedrock(&self) -> Result<usize, Fault> {
        let answer = match self
            .call(BEDROCK, Method::GET, "/foundation-models", None)
            .await
        {
            // STS of the same region has just been reached, so names are looked up as they should be.
            Err(Fault::NoAddress { .. }) if self.trial.endpoint.is_none() => {
                return Err(Fault::NoBedrock {
                    region: self.trial.region.to_string(),
                });
            }
            other => other?,
        };
        self.check(&answer, "bedrock:ListFoundationModels", None)?;
        let body = answer.json();
        let models = body
            .as_ref()
            .and_then(|body| body.get("modelSummaries")?.as_array());
        models
            .map(Vec::len)
            .ok_or_else(|| self.not_aws(&answer, "Amazon Bedrock"))
    }

    async fn model(&self, model: &ModelName) -> Result<(), Fault> {
        let path = format!(
            "/model/{}/converse",
            utf8_percent_encode(model.as_str(), IN_PATH)
        );
        let body = json!({
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "inferenceConfig": {"maxTokens": 1},
        });
        let content = Some(("application/json", body.to_string()));
        let answer = self.call(RUNTIME, Method::POST, &path, content).await?;
        self.check(&answer, "bedrock:InvokeModel", Some(model))?;
        let has_output = answer
            .json()
            .is_some_and(|body| body.get("output").is_some_and(Value::is_object));
        match has_output {
            true => Ok(()),
            false => Err(self.not_aws(&answer, "Amazon Bedrock")),
        }
    }

    async fn call(
        &self,
        service: Service,
        method: Method,
        path: &str,
        content: Option<(&'static str, String)>,
    ) -> Result<Answer, Fault> {
        let Trial {
            credentials,
            region,
            endpoint,
            ..
        } = self.trial;
        let base = endpoint.cloned().unwrap_or_else(|| own(service, region));
        let mut request = Request::builder()
            .method(method)
            .uri(base.below(path).as_str());
        let mut body = Vec::new();
        if let Some((kind, text)) = content {
            request = request.header(http::header::CONTENT_TYPE, kind);
            body = text.into_bytes();
        }
        let mut request = request.body(body).expect("its parts are well-formed");
        sign::sign(&mut request, credentials, region, service.name);
        self.caller.call(request, true).await
    }

    fn check(&self, answer: &Answer, action: &str, model: Option<&ModelName>) -> Result<(), Fault> {
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(refusal::fault(
                answer,
                &refusal::Asked {
                    action,
                    model,
                    region: self.trial.region,
                    has_token: self.trial.credentials.session_token().is_some(),
                    keys: &self.keys,
                },
            )),
        }
    }

    fn not_aws(&self, answer: &Answer, api: &str) -> Fault {
        Fault::NotThisApi {
            at: answer.at.clone(),
            api: api.to_owned(),
            found: answer.kind(),
        }
    }
}

/// Returns a service's own address in a region.
fn own(service: Service, region: &Region) -> BaseUrl {
    let domain = match region.as_str().starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    };
    let url = format!("https://{}.{region}.{domain}", service.host);
    url.parse().expect("a region's name fits into a host's")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_their_hosts() {
        let check = |service, region: &str, expect: &str| {
            assert_eq!(own(service, &region.parse().unwrap()).to_string(), expect);
        };
        check(STS, "us-east-1", "https://sts.us-east-1.amazonaws.com");
        check(
            RUNTIME,
            "eu-central-1",
            "https://bedrock-runtime.eu-central-1.amazonaws.com",
        );
        check(STS, "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn");
    }
}
