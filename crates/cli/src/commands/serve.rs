//! `annals serve`: the page and the API over the mirror, read-only, on this machine.

use std::net::SocketAddr;

use annals_core::{Code, Report};
use annals_net_adapter::http::server::ServeReport;
use annals_net_adapter::{Cx, Slice};
use annals_server::{AppState, DrainOptions};
use serde::Serialize;

use super::{Conduct, Run};
use crate::error::Error;
use crate::output::{Meta, Page, Reply, Shape, Show, Style};
use crate::session::Session;

/// Serve the search page and the API, read-only
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A loopback address with a port, instead of `server.listen`; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    bind: Option<SocketAddr>,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "not an address with a port, such as 127.0.0.1:8080".to_owned())?;
    if !address.ip().is_loopback() {
        return Err("not a loopback address: this server is for this machine only".to_owned());
    }
    Ok(address)
}

/// Where it answers.
#[derive(Debug, Serialize)]
pub struct Data {
    address: String,
    #[serde(skip)]
    file: String,
}

impl Run for Args {
    type Data = Data;
    const NAME: &'static str = "serve";
    const EXAMPLES: &'static [&'static str] = &["annals serve --bind 127.0.0.1:0"];
    const ALIASES: &'static [&'static str] = &["server", "web"];
    const SLICE: Option<Slice> = Some(Slice::Server);
    const CONDUCT: Conduct = Conduct::Serves;

    fn shape(&self) -> Shape {
        Shape {
            fields: &["address"],
            list: None,
            minimal: &["address"],
        }
    }

    async fn run(self, cx: &Cx, session: &Session) -> Result<Reply<Data>, Error> {
        let db = session.mirror(cx).await?;
        let file = db.path().display().to_string();
        let state = AppState::new(cx, db, session.config().server.allowed_hosts.clone());
        let at = self.bind.unwrap_or(session.config().server.listen);
        let listener = annals_server::listen(cx, at).await.map_err(|error| Error::of(&error))?;
        let data = Data {
            address: address(listener.local_addr()),
            file,
        };
        session.out.print(cx, &data, &Meta::default())?;
        let served = annals_server::serve(cx, state, listener, drain(session)).await;
        clean(&served.map_err(|error| Error::of(&error))?)?;
        Ok(Reply::Printed)
    }
}

/// The address of the page.
pub fn address(at: SocketAddr) -> String {
    format!("http://{at}/")
}

/// How the server stops.
pub fn drain(session: &Session) -> DrainOptions {
    let settings = &session.config().server;
    DrainOptions {
        notice: settings.drain_notice,
        drain: settings.graceful_shutdown,
    }
}

/// A server that left something behind did not end well.
///
/// # Errors
/// `unclean_shutdown`, naming what is left.
pub fn clean(report: &ServeReport) -> Result<(), Report> {
    tracing::info!(
        served = report.served,
        refused = report.refused,
        finished_in_drain = report.finished_in_drain,
        cancelled = report.cancelled,
        "the server has ended"
    );
    if report.drain.quiescent {
        return Ok(());
    }
    let named: Vec<String> = report
        .drain
        .stragglers
        .iter()
        .map(|task| format!("{} in {}", task.name, task.region))
        .collect();
    let message = format!("ended without waiting any longer for: {}", named.join(", "));
    Err(Report::new(Code::UncleanShutdown, message).with_detail("stragglers", named))
}

impl Show for Data {
    fn show(&self, page: &mut Page) {
        let address = page.paint(Style::Link, &self.address);
        page.line(format!("{} is at {address}", self.file));
        page.line(page.paint(Style::Faint, "read-only, for this machine only; Ctrl-C ends it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served() {
        for text in ["127.0.0.1:0", "127.0.0.53:8080", "[::1]:80"] {
            assert!(loopback(text).is_ok(), "{text}");
        }
        for text in [
            "0.0.0.0:80",
            "192.168.1.1:80",
            "[::]:80",
            "localhost:80",
            "127.0.0.1",
            "8080",
            "",
        ] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }
}
