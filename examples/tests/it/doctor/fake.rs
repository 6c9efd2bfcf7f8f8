//! A server that answers what `doctor` asks of S3, SQS, STS and CloudTrail.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:logs";
pub const LETTERS: &str = "arn:aws:sqs:eu-west-1:111122223333:letters";
pub const BUCKET: &str = "trail";

/// What the server says; each test changes a little of it.
#[derive(Clone)]
pub struct World {
    /// Actions that are denied, as policies name them.
    pub denied: BTreeSet<&'static str>,
    pub region: &'static str,
    pub date: Option<&'static str>,
    pub keys: BTreeMap<String, Vec<u8>>,
    /// The error a GET ends in.
    pub get_error: Option<(u16, &'static str, &'static str)>,
    pub payer: &'static str,
    pub notification: String,
    pub queue: BTreeMap<&'static str, String>,
    pub selectors: Value,
    pub arn: &'static str,
}

/// A notification entry for the queue.
pub fn entry(queue: &str, prefix: &str) -> String {
    format!(
        "<NotificationConfiguration><QueueConfiguration><Id>logs</Id><Queue>{queue}</Queue>\
         <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>Prefix</Name>\
         <Value>{prefix}</Value></FilterRule></S3Key></Filter></QueueConfiguration>\
         </NotificationConfiguration>"
    )
}

impl World {
    /// All as it should be.
    pub fn sound(today: &str) -> Self {
        let (day, stamp) = (today.replace('-', "/"), today.replace('-', ""));
        let base = "AWSLogs/o-a1b2c3d4e5/111122223333";
        let log = format!(
            "{base}/CloudTrail/eu-west-1/{day}/111122223333_CloudTrail_eu-west-1_{stamp}T0005Z_abcdefghijklmnop.json.gz"
        );
        let digest = format!(
            "{base}/CloudTrail-Digest/eu-west-1/{day}/111122223333_CloudTrail-Digest_eu-west-1_main_eu-west-1_{stamp}T000000Z.json.gz"
        );
        let keys = [(log, b"\x1f\x8b\x08".to_vec()), (digest, b"x".to_vec())];
        let policy = json!({"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage",
            "Principal": {"Service": "s3.amazonaws.com"}, "Resource": QUEUE,
            "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::trail"},
                "StringEquals": {"aws:SourceAccount": "111122223333"}}}]});
        let redrive = json!({"deadLetterTargetArn": LETTERS, "maxReceiveCount": 48});
        Self {
            denied: BTreeSet::new(),
            region: "eu-west-1",
            date: None,
            keys: keys.into_iter().collect(),
            get_error: None,
            payer: "BucketOwner",
            notification: entry(QUEUE, "AWSLogs/"),
            queue: BTreeMap::from([
                ("QueueArn", QUEUE.to_owned()),
                ("VisibilityTimeout", "300".to_owned()),
                ("MessageRetentionPeriod", "345600".to_owned()),
                ("ApproximateNumberOfMessages", "0".to_owned()),
                ("Policy", policy.to_string()),
                ("RedrivePolicy", redrive.to_string()),
            ]),
            selectors: json!([{"ReadWriteType": "All", "IncludeManagementEvents": true, "DataResources": []}]),
            arn: "arn:aws:sts::111122223333:assumed-role/reader/session",
        }
    }

    /// Serves it until the test's runtime ends.
    pub async fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let world = Arc::clone(&world);
                        async move { Ok::<_, Infallible>(world.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        url
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let target = request
            .headers()
            .get("x-amz-target")
            .map(|v| v.to_str().unwrap().to_owned());
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if let Some(target) = target {
            let action = target.rsplit('.').next().unwrap().to_owned();
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            return self.json(&action, &asked);
        }
        if String::from_utf8_lossy(&body).contains("Action=GetCallerIdentity") {
            if self.denied.contains("sts:GetCallerIdentity") {
                let error = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no\u{1b}[2J</Message></Error></ErrorResponse>";
                return reply(403, error.replace('\u{1b}', "&#x9b;"));
            }
            return reply(
                200,
                format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                     <Arn>{}</Arn><UserId>x</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
                    self.arn
                ),
            );
        }
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let mut response = self.s3(&parts.method, parts.uri.path(), &query);
        let headers = response.headers_mut();
        headers.insert("x-amz-bucket-region", self.region.parse().unwrap());
        if let Some(date) = self.date {
            headers.insert("date", date.parse().unwrap());
        }
        response
    }

    fn json(&self, action: &str, asked: &Value) -> Response<Full<Bytes>> {
        let service = if action.contains("Trail") || action.contains("Selectors") {
            "cloudtrail"
        } else {
            "sqs"
        };
        let name = format!("{service}:{action}");
        if self.denied.iter().any(|denied| *denied == name) {
            let body = json!({"__type": "com.amazonaws#AccessDeniedException", "message": "no \u{1b}[31m"});
            return reply(403, body.to_string());
        }
        let url = asked
            .get("QueueUrl")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let body = match action {
            "GetQueueUrl" => json!({"QueueUrl": "http://127.0.0.1/111122223333/letters"}),
            "GetQueueAttributes" if url.ends_with("/letters") => {
                json!({"Attributes": {"QueueArn": LETTERS, "MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0"}})
            }
            "GetQueueAttributes" if url.ends_with("/logs") => json!({"Attributes": self.queue}),
            "GetQueueAttributes" => {
                let body =
                    json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "none"});
                return reply(400, body.to_string());
            }
            "ChangeMessageVisibility" => {
                let body = json!({"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "none"});
                return reply(400, body.to_string());
            }
            "DescribeTrails" => json!({"trailList": [{"Name": "main", "S3BucketName": BUCKET,
                "TrailARN": "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main", "HomeRegion": "eu-west-1"}]}),
            "GetEventSelectors" => json!({"EventSelectors": self.selectors}),
            other => panic!("{other} is not to be asked"),
        };
        reply(200, body.to_string())
    }

    fn s3(&self, method: &Method, path: &str, query: &str) -> Response<Full<Bytes>> {
        let key = path
            .trim_start_matches('/')
            .strip_prefix(BUCKET)
            .unwrap_or_default();
        let key = key.trim_start_matches('/');
        let deny = |action: &str| {
            let denied = self.denied.contains(action);
            denied.then(|| error(403, "AccessDenied", "Access Denied"))
        };
        if !path.trim_start_matches('/').starts_with(BUCKET) {
            return error(404, "NoSuchBucket", "none");
        }
        match (method.as_str(), key) {
            ("HEAD", "") => deny("s3:ListBucket").unwrap_or_else(|| reply(200, String::new())),
            ("GET", "") if query.contains("notification") => {
                deny("s3:GetBucketNotification").unwrap_or_else(|| reply(200, self.notification.clone()))
            }
            ("GET", "") if query.contains("requestPayment") => {
                deny("s3:GetBucketRequestPayment").unwrap_or_else(|| {
                    let payer = self.payer;
                    reply(200, format!("<RequestPaymentConfiguration><Payer>{payer}</Payer></RequestPaymentConfiguration>"))
                })
            }
            ("GET", "") => deny("s3:ListBucket").unwrap_or_else(|| self.list(query)),
            ("GET", _) => match (deny("s3:GetObject"), self.get_error, self.keys.get(key)) {
                (Some(denied), _, _) => denied,
                (_, Some((status, code, message)), _) => error(status, code, message),
                (_, _, Some(bytes)) => reply(206, bytes.clone()),
                _ => error(404, "NoSuchKey", "none"),
            },
            other => panic!("{other:?} is not to be asked"),
        }
    }

    fn list(&self, query: &str) -> Response<Full<Bytes>> {
        let value = |name: &str| {
            let pair = query
                .split('&')
                .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.unwrap_or_default().replace("%2F", "/")
        };
        let (prefix, grouped) = (value("prefix"), value("delimiter") == "/");
        let mut folders = BTreeSet::new();
        let mut xml = String::new();
        let mut count = 0;
        for (key, bytes) in self.keys.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            match key[prefix.len()..].find('/').filter(|_| grouped) {
                Some(at) => {
                    folders.insert(key[..=prefix.len() + at].to_owned());
                }
                None => {
                    count += 1;
                    xml.push_str(&format!(
                        "<Contents><Key>{key}</Key><Size>{}</Size></Contents>",
                        bytes.len()
                    ));
                }
            }
        }
        for folder in &folders {
            xml.push_str(&format!(
                "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
            ));
        }
        let count = count + folders.len();
        reply(
            200,
            format!(
                "<ListBucketResult><EncodingType>url</EncodingType><KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>{xml}</ListBucketResult>"
            ),
        )
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

fn error(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    reply(
        status,
        format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
    )
}
