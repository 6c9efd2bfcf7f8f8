//! A queue in this process that speaks SQS's JSON protocol, and fails where it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The whole call is answered so.
    Answer(u16, &'static str),
    /// Entries whose message's body contains this fail so; `true`: the caller's fault.
    Entry(&'static str, &'static str, bool),
    /// The call is carried out, and answered later.
    Slow(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    handle: Option<String>,
    visible: Instant,
    pub(crate) receives: u32,
    /// The latest visibility that was asked for, and how often one was.
    pub(crate) changes: Vec<u64>,
}

#[derive(Default)]
struct State {
    messages: BTreeMap<u64, Message>,
    deleted: Vec<String>,
    next: u64,
    handles: u64,
    faults: BTreeMap<&'static str, VecDeque<Fault>>,
    calls: Vec<(String, Value)>,
    redrive: Option<String>,
    visibility: u64,
}

/// A queue; its server runs until it is dropped.
pub(crate) struct Queue {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    _task: AbortOnDropHandle<()>,
}

impl Queue {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/000000000000/trail",
            listener.local_addr().unwrap()
        );
        let state = Arc::new(Mutex::new(State {
            visibility: 30,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(serve(request, &state).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            url,
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn send(&self, body: impl Into<String>) {
        let mut state = self.state.lock().unwrap();
        let number = state.next;
        state.next += 1;
        let message = Message {
            id: format!("id-{number}"),
            body: body.into(),
            handle: None,
            visible: Instant::now(),
            receives: 0,
            changes: Vec::new(),
        };
        state.messages.insert(number, message);
    }

    /// The next call of `action` suffers this; those after it what is given later.
    pub(crate) fn fault(&self, action: &'static str, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.faults.entry(action).or_default().push_back(fault);
    }

    pub(crate) fn with_dead_letters(&self) {
        let policy =
            r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:dead","maxReceiveCount":3}"#;
        self.state.lock().unwrap().redrive = Some(policy.to_owned());
    }

    /// The message is shown to everybody again, and the handle that is out is worth nothing.
    pub(crate) fn expire(&self, containing: &str) {
        let mut state = self.state.lock().unwrap();
        for message in state.messages.values_mut() {
            if message.body.contains(containing) {
                message.handle = None;
            }
        }
    }

    /// The message is handed out once more although it is held, as queues may do.
    pub(crate) fn repeat(&self) {
        let mut state = self.state.lock().unwrap();
        for message in state.messages.values_mut() {
            message.visible = Instant::now();
        }
    }

    /// What is not deleted.
    pub(crate) fn left(&self) -> Vec<Message> {
        let state = self.state.lock().unwrap();
        state.messages.values().cloned().collect()
    }

    /// The bodies that were deleted, in order.
    pub(crate) fn deleted(&self) -> Vec<String> {
        self.state.lock().unwrap().deleted.clone()
    }

    /// The calls of one action, as they came.
    pub(crate) fn calls(&self, action: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let of = state.calls.iter().filter(|(name, _)| name == action);
        of.map(|(_, body)| body.clone()).collect()
    }
}

type Answer = Result<Value, (u16, String)>;

async fn serve(request: Request<Incoming>, state: &Mutex<State>) -> Response<Whole> {
    let target = request.headers().get("x-amz-target");
    let target = target.and_then(|t| t.to_str().ok()).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    let mut body = request.into_body();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    let asked: Value = serde_json::from_slice(&bytes).unwrap();
    let fault = {
        let mut state = state.lock().unwrap();
        state.calls.push((action.clone(), asked.clone()));
        let faults = state.faults.get_mut(action.as_str());
        faults.and_then(VecDeque::pop_front)
    };
    let answer = match &fault {
        Some(Fault::Answer(status, code)) => Err((*status, (*code).to_owned())),
        _ => carry_out(&action, &asked, fault.as_ref(), state).await,
    };
    if let Some(Fault::Slow(pause)) = fault {
        tokio::time::sleep(pause).await;
    }
    let response = Response::builder().header("content-type", "application/x-amz-json-1.0");
    let (response, value) = match answer {
        Ok(value) => (response.status(200), value),
        Err((status, code)) => (
            response.status(status),
            json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "words of the queue"}),
        ),
    };
    let body = serde_json::to_vec(&value).unwrap();
    response.body(Whole(Some(Bytes::from(body)))).unwrap()
}

async fn carry_out(
    action: &str,
    asked: &Value,
    fault: Option<&Fault>,
    state: &Mutex<State>,
) -> Answer {
    match action {
        "GetQueueAttributes" => {
            let state = state.lock().unwrap();
            let now = Instant::now();
            let hidden = state.messages.values().filter(|m| m.visible > now).count();
            let shown = state.messages.len() - hidden;
            let mut attributes = json!({
                "VisibilityTimeout": state.visibility.to_string(),
                "ApproximateNumberOfMessages": shown.to_string(),
                "ApproximateNumberOfMessagesNotVisible": hidden.to_string(),
                "ApproximateNumberOfMessagesDelayed": "0",
            });
            if let Some(policy) = &state.redrive {
                attributes["RedrivePolicy"] = json!(policy);
            }
            Ok(json!({ "Attributes": attributes }))
        }
        "ReceiveMessage" => {
            let until = Instant::now()
                + Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or(0));
            loop {
                let messages = receive(asked, &mut state.lock().unwrap());
                if !messages.is_empty() || Instant::now() >= until {
                    return Ok(json!({ "Messages": messages }));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
            let delete = action == "DeleteMessageBatch";
            Ok(batch(asked, fault, delete, &mut state.lock().unwrap()))
        }
        _ => Err((400, "InvalidAction".to_owned())),
    }
}

fn receive(asked: &Value, state: &mut State) -> Vec<Value> {
    let most = asked["MaxNumberOfMessages"].as_u64().unwrap_or(1);
    let visibility = asked["VisibilityTimeout"].as_u64().unwrap_or(30);
    let now = Instant::now();
    let mut out = Vec::new();
    let mut handles = state.handles;
    for message in state.messages.values_mut() {
        if out.len() as u64 == most || message.visible > now {
            continue;
        }
        handles += 1;
        let handle = format!("handle-{handles}");
        message.handle = Some(handle.clone());
        message.visible = now + Duration::from_secs(visibility);
        message.receives += 1;
        out.push(json!({
            "MessageId": message.id,
            "ReceiptHandle": handle,
            "Body": message.body,
            "Attributes": {"ApproximateReceiveCount": message.receives.to_string()},
        }));
    }
    state.handles = handles;
    out
}

fn batch(asked: &Value, fault: Option<&Fault>, delete: bool, state: &mut State) -> Value {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let entries = asked["Entries"].as_array().unwrap();
    assert!((1..=10).contains(&entries.len()), "{entries:?}");
    for entry in entries {
        let id = &entry["Id"];
        let handle = entry["ReceiptHandle"].as_str();
        let found = state
            .messages
            .iter_mut()
            .find(|(_, message)| message.handle.as_deref() == handle);
        let Some((number, message)) = found else {
            failed.push(
                json!({"Id": id, "SenderFault": true, "Code": "ReceiptHandleIsInvalid",
                "Message": "The receipt handle has expired"}),
            );
            continue;
        };
        if let Some(Fault::Entry(containing, code, ours)) = fault
            && message.body.contains(containing)
        {
            failed.push(json!({"Id": id, "SenderFault": ours, "Code": code, "Message": "no"}));
            continue;
        }
        done.push(json!({"Id": id}));
        if delete {
            let number = *number;
            if let Some(message) = state.messages.remove(&number) {
                state.deleted.push(message.body);
            }
        } else {
            let seconds = entry["VisibilityTimeout"].as_u64().unwrap();
            message.changes.push(seconds);
            message.visible = Instant::now() + Duration::from_secs(seconds);
        }
    }
    json!({"Successful": done, "Failed": failed})
}

struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
