//! An S3 server in this process, for this machine only.

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials};
use ctforward_aws::s3::{PlainHttp, client};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::Failure;

/// Keys of nobody: the server knows only these, and holds made-up files only.
pub const ACCESS_KEY: &str = "demo";
pub const SECRET_KEY: &str = "demo-secret";
pub const REGION: &str = "us-east-1";

/// A running server; dropping it stops it.
pub struct S3Server {
    url: String,
    _task: AbortOnDropHandle<()>,
}

impl S3Server {
    /// Serves the folders in `root` as buckets, on a free port of 127.0.0.1.
    pub async fn start(root: &Path) -> Result<Self, Failure> {
        let files = s3s_fs::FileSystem::new(root)
            .map_err(|error| Failure::work(format!("the S3 server does not start: {error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let no_port = |error| Failure::work(format!("no port for the S3 server: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(no_port)?;
        let url = format!("http://{}", listener.local_addr().map_err(no_port)?);
        let task = tokio::spawn(serve(listener, service));
        Ok(Self {
            url,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of this server. It looks at no AWS settings of whoever runs it:
    /// no file, no environment variable, no metadata service.
    pub fn client(&self) -> Result<Client, Failure> {
        let config = Builder::new()
            .behavior_version_latest()
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "demo"));
        Ok(client(
            config,
            Some(&self.url),
            Some(REGION),
            PlainHttp::LoopbackOnly,
        )?)
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let service = service.clone();
                    connections.spawn(async move {
                        // How a connection ends is its client's matter.
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                // Such as too many open files: wait for some to close.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            // Those that ended are not kept.
            Some(_) = connections.join_next() => {}
        }
    }
}
