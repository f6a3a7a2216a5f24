//! What a first sync needs at its peak, by the size of the project: it must not grow with it.

use super::command::Options;
use super::programs::{Forge, Programs};

pub fn measure(programs: &Programs, options: &Options, runtime: &str) -> anyhow::Result<()> {
    let sizes = if options.entities.is_empty() {
        &[10_000, 100_000][..]
    } else {
        &options.entities
    };
    println!("\nmemory of a first sync, {runtime}");
    println!("{:>8}  {:>9}  {:>10}", "entities", "peak RSS", "took");
    for entities in sizes {
        let forge = Forge::start(programs, *entities, 0)?;
        let cost = programs.first_sync(runtime, &forge)?;
        println!(
            "{entities:>8}  {:>5} MiB  {:>8.1} s",
            cost.peak_kib / 1024,
            cost.took.as_secs_f64()
        );
    }
    Ok(())
}
