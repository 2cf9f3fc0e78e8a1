//! Opens the sockets of the ports, and serves them.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use runvoy_core::App;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    front,
    lambda::Function,
    servers::Listeners,
    settings::{self, AwsPort, Settings},
};

/// The sockets of the ports.
pub(super) struct Ports {
    pub(super) orchestrator: Listeners,
    pub(super) event_processor: Listeners,
    pub(super) aws: Option<Listeners>,
}

impl Ports {
    pub(super) async fn open(settings: &Settings) -> Result<Self> {
        let orchestrator = Listeners::bind(settings.orchestrator_port, settings::ORCHESTRATOR_PORT).await?;
        let event_processor = Listeners::bind(settings.event_processor_port, settings::EVENT_PROCESSOR_PORT).await?;
        let Some((port, address)) = settings.aws_port.parts() else {
            return Ok(Self { orchestrator, event_processor, aws: None });
        };
        let aws = match Listeners::bind(port, settings::AWS_PORT).await {
            Ok(mut listeners) => {
                if let Some(address) = address {
                    listeners.add(address).await?;
                }
                Some(listeners)
            }
            Err(error) if settings.aws_port == AwsPort::IfFree => {
                tracing::warn!(
                    "{error:#}. The system runs without it: cargo lambda, sam local and the AWS CLI cannot use its emulated AWS"
                );
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { orchestrator, event_processor, aws })
    }

    /// Answers at every port.
    pub(super) fn serve(
        self,
        orchestrator: Function,
        event_processor: Function,
        aws: front::aws::Endpoint,
        app: Arc<App>,
        settings: &Settings,
        viewer_answer: Option<String>,
    ) -> Serving {
        let timeout = settings.client_timeout;
        let (stop_listening, close_viewers) = (CancellationToken::new(), CancellationToken::new());
        let viewers = TaskTracker::new();
        let gateway = front::websocket::Gateway {
            connections: aws.aws.api_gateway.clone(),
            function: event_processor.clone(),
            stage: "live".to_owned(),
            answer: viewer_answer,
            closing: close_viewers.clone(),
            open: viewers.clone(),
        };
        let (websocket, data_dir) = (Arc::new(gateway), settings.data_dir.clone());
        let port = front::orchestrator::Port { orchestrator, websocket, data_dir };
        tracing::info!(address = %self.orchestrator.address, "starting orchestrator server");
        let mut api: Router = front::orchestrator::router(port);
        api = api.merge(front::outbox::router(front::outbox::OutboxPage { aws: aws.aws.clone(), app: app.clone() }));
        if self.aws.is_some() {
            api = api.merge(front::aws::connections(aws.clone()));
        }
        let mut servers = self.orchestrator.serve(&api, timeout, &stop_listening);
        tracing::info!(address = %self.event_processor.address, "starting async processor server");
        let process = front::event_processor::router(front::event_processor::Port { event_processor, app });
        servers.extend(self.event_processor.serve(&process, timeout, &stop_listening));
        if let Some(listeners) = self.aws {
            servers.extend(listeners.serve(
                &front::aws::router(aws, settings.aws_port.parts()),
                timeout,
                &stop_listening,
            ));
        }
        Serving { servers, stop_listening, viewers, close_viewers }
    }
}

/// The servers of the ports, and the connections of viewers.
pub(super) struct Serving {
    pub(super) servers: Vec<JoinHandle<()>>,
    pub(super) stop_listening: CancellationToken,
    pub(super) viewers: TaskTracker,
    pub(super) close_viewers: CancellationToken,
}
