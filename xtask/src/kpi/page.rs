//! The report as Markdown.

use super::report::Report;
use crate::evidence::short;

pub fn markdown(report: &Report) -> String {
    let stamp = &report.stamp;
    let mut lines = vec![
        format!("# KPIs of {}", short(&stamp.commit)),
        String::new(),
        format!(
            "{}; {}; Cargo.lock {}; features {}; {} seeds",
            stamp.toolchain,
            stamp.machine,
            short(&stamp.lock),
            report.features,
            report.seeds
        ),
        report.previous.as_ref().map_or_else(
            || "before: no report".to_owned(),
            |before| format!("before: {}, features {}", short(&before.stamp.commit), before.features),
        ),
        String::new(),
        "| KPI | target | measured | before | met |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for kpi in &report.kpis {
        let value = kpi.value.as_deref().unwrap_or("null");
        let met = if kpi.met { "yes" } else { "no" };
        let before = kpi.before.as_deref().unwrap_or("null");
        lines.push(format!(
            "| {} | {} | {value} | {before} | {met} |",
            kpi.name, kpi.target
        ));
    }
    for kpi in &report.kpis {
        section(&mut lines, &kpi.name, &kpi.details);
    }
    section(&mut lines, "figures", &report.figures);
    section(&mut lines, "remarks", &report.remarks);
    lines.join("\n") + "\n"
}

fn section(lines: &mut Vec<String>, title: &str, items: &[String]) {
    if !items.is_empty() {
        lines.extend([String::new(), format!("## {title}"), String::new()]);
        lines.extend(items.iter().map(|item| format!("- {item}")));
    }
}
