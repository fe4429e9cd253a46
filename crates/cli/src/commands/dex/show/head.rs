//! Which machine it is, whether the file is sound, what is in the machine, and its dates.

use eva_dts::{Device, Dump, Moment, Reading};

use super::section;
use crate::commands::dex::{moment, verdict};
use crate::commands::paint::{self, harmless};
use crate::commands::table::{Cell, Column, LONGEST, Table, cut};

pub(super) fn print(dump: &Dump<'_>, reading: &Reading<'_>, of: Option<(usize, usize)>) {
    let identity = &reading.identity;
    let mut title: Vec<&str> =
        [&identity.model, &identity.serial].into_iter().flatten().map(AsRef::as_ref).collect();
    title.retain(|part| !part.trim().is_empty());
    let title =
        if title.is_empty() { "A machine without a serial number".to_owned() } else { title.join(" · ") };
    let of =
        of.map_or_else(String::new, |(number, count)| paint::faint(format!("  capture {number} of {count}")));
    paint::line(format!("{}{of}", paint::bold(cut(&harmless(&title), LONGEST))));
    print_verdict(dump, reading);
    print_identity(reading);
    print_devices(reading);
}

fn print_verdict(dump: &Dump<'_>, reading: &Reading<'_>) {
    let verdict = verdict::Verdict::of(dump, reading);
    let mut remarks = vec![verdict::crc(reading.crc.status).to_owned()];
    if let (Some(sent), Some(computed)) = (reading.crc.sent, reading.crc.computed)
        && !reading.crc.status.is_valid()
    {
        remarks[0] = format!("{}: {sent:04X} in the file, {computed:04X} by its bytes", remarks[0]);
    }
    let missing = verdict::missing(reading);
    if reading.is_truncated {
        remarks.push("the end is missing".to_owned());
    } else if missing.is_empty() {
        remarks.push("envelope complete".to_owned());
    } else {
        remarks.push(format!("the envelope lacks {}", missing.join(", ")));
    }
    remarks.push(format!("{} segments", reading.segments));
    paint::line(format!("{}  {}", verdict.tone().paint(verdict.words()), remarks.join(" · ")));
}

fn print_identity(reading: &Reading<'_>) {
    let identity = &reading.identity;
    let currency = &reading.currency;
    let mut money = vec![decimals(currency.decimals)];
    money.extend(currency.alpha.as_deref().map(str::to_owned));
    money.extend(currency.numeric.as_deref().map(|code| match currency.iso_numeric() {
        Some(iso) => format!("ISO 4217 {iso:03}"),
        None => format!("code {code}"),
    }));
    let reads = &reading.reads;
    let by = |at: Option<Moment>, who: &Option<_>| match (at.map(moment), who) {
        (Some(at), Some(who)) => Some(format!("{at} by {who}")),
        (at, None) => at,
        (None, Some(who)) => Some(format!("by {who}")),
    };
    let counted = |count: Option<u64>, words: &str| count.map(|count| format!("{count} {words}"));
    let counts = [counted(reads.all, "in all"), counted(reads.with_reset, "with reset")];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    let outages = reading.power_outages;
    let text = |text: &Option<eva_dts::Text<'_>>| text.as_ref().map(ToString::to_string);
    let facts = [
        ("serial number", text(&identity.serial)),
        ("model", text(&identity.model)),
        ("build", text(&identity.build)),
        ("location", text(&identity.location)),
        ("asset number", text(&identity.asset)),
        ("communication id", text(&identity.communication_id)),
        ("standard", text(&identity.version)),
        ("currency", Some(money.join(", "))),
        ("clock", identity.clock.or(reading.vendor_clock).map(moment)),
        ("this read", by(reads.this_read, &reads.this_terminal)),
        ("read before", by(reads.last_read, &reads.last_terminal)),
        ("reads", (!counts.is_empty()).then(|| counts.join(", "))),
        ("initialised", reading.initialised_at.map(moment)),
        ("prices set", reading.prices_set_at.map(moment)),
        ("power outages", counted(outages.since_init, "since initialisation")),
    ];
    section("Machine");
    let mut table = Table::new([Column::left(""), Column::left("").elastic()]).indent(2).without_headings();
    for (name, value) in facts {
        if let Some(value) = value {
            table.row([Cell::from(name).tone(paint::Tone::Faint), value.trim().into()]);
        }
    }
    table.print();
}

fn print_devices(reading: &Reading<'_>) {
    let identity = &reading.identity;
    let devices: [(&str, &Option<Device<'_>>); 5] = [
        ("control board", &identity.control_board),
        ("coin mechanism", &identity.coin_mechanism),
        ("bill validator", &identity.bill_validator),
        ("cashless 1", &identity.cashless_1),
        ("cashless 2", &identity.cashless_2),
    ];
    let columns = ["Device", "Serial number", "Model", "Software"].map(Column::left);
    let mut table = Table::new(columns).indent(2);
    for (name, device) in devices {
        if let Some(device) = device {
            let cell = |text: &Option<eva_dts::Text<'_>>| Cell::maybe(text.as_ref().map(|text| text.trim()));
            table.row([name.into(), cell(&device.serial), cell(&device.model), cell(&device.software)]);
        }
    }
    if !table.is_empty() {
        section("Devices");
        table.print();
    }
}

fn decimals(decimals: u8) -> String {
    if decimals == 1 { "1 decimal".to_owned() } else { format!("{decimals} decimals") }
}
