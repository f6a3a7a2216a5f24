//! A simulated forge, and an embedder, beside the command, for as long as the tests run.

use std::sync::mpsc;

use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig};
use annals_testkit::embedder::{EmbedderSim, Manners};
use annals_testkit::forge::{SimOptions, Simulator, sample};

/// Starts one with the sample project; its address.
pub fn sample_forge(options: SimOptions) -> String {
    let (say, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let kind = BackendKind::compiled()[0];
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let ended = runtime.run_main(|cx| async move {
            let simulator = Simulator::start(&cx, sample().unwrap(), options).await.unwrap();
            say.send(simulator.url()).unwrap();
            // It ends with the program.
            cx.cancelled().await;
            simulator.stop().await;
            Ok::<(), annals_testkit::forge::server::Error>(())
        });
        drop(ended);
    });
    hear.recv().unwrap()
}

/// Starts an embedder; its address for the API of Ollama.
pub fn embedder(manners: Manners) -> String {
    let (say, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let kind = BackendKind::compiled()[0];
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let ended = runtime.run_main(|cx| async move {
            let simulator = EmbedderSim::start(&cx).await.unwrap();
            simulator.with_manners(|there| *there = manners);
            say.send(simulator.ollama()).unwrap();
            // It ends with the program.
            cx.cancelled().await;
            simulator.stop().await;
            Ok::<(), annals_testkit::embedder::Error>(())
        });
        drop(ended);
    });
    hear.recv().unwrap()
}
