//! How each family writes an audit. The order of segments and the habits are those of real
//! controllers; serials, names and counters are made up.

use time::OffsetDateTime;

use super::Machine;
use super::envelope::{Checksum, envelope};
use super::sales::{Counters, Selection, Sold, chance, selections};

/// VA1, CA2, DA2: sums over the selections.
#[derive(Clone, Copy, Default)]
struct Sums {
    since_init: Counters,
    since_reset: Counters,
}

impl Sums {
    fn of(selections: &[Selection]) -> Self {
        selections.iter().fold(Self::default(), |sums, one| Self {
            since_init: sums.since_init.plus(one.since_init),
            since_reset: sums.since_reset.plus(one.since_reset),
        })
    }

    /// Value and count since initialisation, then since reset: the order of VA1, CA2 and DA2.
    fn elements(&self, part: fn(Counters) -> Sold) -> String {
        let (init, reset) = (part(self.since_init), part(self.since_reset));
        format!("{}*{}*{}*{}", init.value, init.count, reset.value, reset.count)
    }

    /// CA3 and CA4. Buyers put in 12 % more cash than things cost and get it back as change.
    fn cash(&self) -> [String; 2] {
        let (init, reset) = (self.since_init.cash.value, self.since_reset.cash.value);
        let change = |sales: u32| sales * 12 / 100;
        let share = |sales: u32| {
            let taken = sales + change(sales);
            let bills = taken / 4 / 500 * 500;
            (taken, (taken - bills) / 2, taken - bills - (taken - bills) / 2, bills)
        };
        let (i, r) = (share(init), share(reset));
        [
            format!("CA3*{}*{}*{}*{}*{}*{}*{}*{}*{}*{}", r.0, r.1, r.2, r.3, i.0, i.1, i.2, i.3, r.3, i.3),
            format!("CA4*{}*0*{}*0", change(reset), change(init)),
        ]
    }
}

fn product(selection: &Selection) -> String {
    let (init, reset) = (selection.since_init.all(), selection.since_reset.all());
    format!("PA2*{}*{}*{}*{}*0*0*0*0", init.count, init.value, reset.count, reset.value)
}

fn tubes(machine: Machine, reading: u32, pad: usize) -> Vec<String> {
    let coins = [10, 20, 50, 100, 200];
    (0..5_u32)
        .zip(coins)
        .map(|(kind, value)| {
            let level = 15 + chance(machine.seed(), 90 + kind, reading, 50);
            format!("CA17*{kind:0pad$}*{value}*{level}*{}*{}", 30 + kind, level / 3)
        })
        .collect()
}

/// Drinks: sums first, products in a loop, then page after page of the maker's own MA5.
pub(super) fn cola(machine: Machine, reading: u32, at: OffsetDateTime) -> Vec<u8> {
    let stock = selections(machine.seed(), 8 + machine.number % 4, true, reading);
    let sums = Sums::of(&stock);
    let (date, time) = clock(at);
    let opened = 40 + machine.number + reading / 2;
    let mut lines = vec![
        format!("ID1*{}*SIM COLD {}00-10*0100**SIM3.0*", machine.serial(), machine.number % 7 + 2),
        "ID4*2*1978*EUR".to_owned(),
        format!("VA1*{}*0*0", sums.elements(Counters::all)),
        "VA2*1350*9*0*0".to_owned(),
        "VA3*0*0*0*0".to_owned(),
        format!("CA1*SIMC{:06} *CHANGER 5T  *0107", machine.number),
        format!("BA1*SIMB{:06} *BILLS 2     *1200", machine.number),
        format!("DA1*SIMD{:06}*SIM READER*0100", machine.number),
        format!("CA2*{}", sums.elements(|one| one.cash)),
    ];
    lines.extend(sums.cash());
    lines.push("CA9*0*0".to_owned());
    lines.push("CA10*6500*6500*0*0".to_owned());
    lines.extend(tubes(machine, reading, 1));
    lines.push(format!("DA2*{}", sums.elements(|one| one.cashless)));
    lines.push("TA2*0*0*0*0".to_owned());
    lines.push("LS*0100".to_owned());
    for (number, selection) in (1..).zip(&stock) {
        lines.push(format!("PA1*{number}*{}*", selection.price));
        lines.push(product(selection));
    }
    lines.push("LE*0100".to_owned());
    lines.push(format!("EA2*DO*{}*{opened}", reading % 4));
    lines.push("EA2*CR*0*0".to_owned());
    lines.push(format!("EA3*{}*{date}*{time}", 5_000 + reading));
    lines.push(format!("EA7*{0}*{0}", 3 + machine.number));
    lines.push("MA5*BAUD*9600".to_owned());
    for (number, selection) in (1..).zip(&stock) {
        let sold = selection.since_init.all().count;
        lines.push(format!("MA5*SEL{number:02}*{number},{}*{sold}*{}", number + 8, sold + sold / 20));
    }
    lines.push("MA5*SWITCH*UNLOCK*1,2,4**7".to_owned());
    // The compressor of every fifth machine gives up now and then.
    let fails = machine.number % 5 == 4 && reading % 3 == 2;
    if fails {
        lines.push("MA5*ERROR*UA09".to_owned());
    }
    lines.push(format!("MA5*TIME*1*{date}*{time}*OFF"));
    lines.push(format!(
        "MA5*TEMP*{}*C*DC",
        if fails { 171 } else { 40 + chance(machine.seed(), 80, reading, 12) }
    ));
    for (number, selection) in (1..).zip(&stock) {
        let card = selection.since_init.cashless;
        lines.push(format!("MA5*CARD*SEL{number:02}*{}*{}", card.value, card.count));
    }
    lines.push("SD1*000000000000".to_owned());
    envelope("SIM0000010", "V1/1", Checksum::Right, &lines)
}

/// Snacks: devices first, the machine's own name near the end, and a checksum that is none.
pub(super) fn snack(machine: Machine, reading: u32, at: OffsetDateTime) -> Vec<u8> {
    let stock = selections(machine.seed(), 20 + machine.number % 6, true, reading);
    let sums = Sums::of(&stock);
    let (date, time) = clock(at);
    let mut lines = vec![
        format!("BA1*SIMB{:06} *BILLS 2     *1200", machine.number),
        format!("CA1*SIMC{:06} *CHANGER 5T  *0107", machine.number),
        format!("CA2*{}", sums.elements(|one| one.cash)),
    ];
    lines.extend(sums.cash());
    lines.extend(
        ["CA7*0*0*0*0", "CA8*0*550", "CA10*0*0", "CA15*24690", "CB1***V8.22/210310"].map(str::to_owned),
    );
    lines.push(format!("DA2*{}", sums.elements(|one| one.cashless)));
    lines.push("MA5*DESIRED TEMPERATURE*  500*C".to_owned());
    lines.push(format!("MA5*DETECTED TEMPERATURE*  {}*C", 480 + chance(machine.seed(), 80, reading, 90)));
    for (number, selection) in (0..).zip(&stock) {
        // Rows of ten, with gaps: 10…15, 20…25.
        lines.push(format!("PA1*{}*{}", 10 + number / 6 * 10 + number % 6, selection.price));
        lines.push(product(selection));
        if selection.since_init.all().count.is_multiple_of(9) {
            lines.push("PA4*1".to_owned());
        }
    }
    lines.push(format!("VA1*{}", sums.elements(Counters::all)));
    let jammed = u32::from(machine.number % 4 == 1 && reading % 3 == 2);
    for code in ["EGS", "EJH", "EJL", "ENA", "ENF", "EAR"] {
        lines.push(format!(
            "EA2*{code}*0*{}**0",
            chance(machine.seed(), 70, u32::from(code.as_bytes()[2]), 9)
        ));
    }
    lines.push(format!("EA1*EJB*{date}*{time}"));
    lines.push(format!("EA2*EJB*{jammed}*{}**{jammed}", 1 + jammed));
    lines.push(format!("EA3*{}*{date}*{time}**{date}*{time}", 900 + reading));
    lines.push("EA7*0*26".to_owned());
    lines.extend(tubes(machine, reading, 2));
    lines.push(format!("ID1*{}*SNACK {}000*****60*6100", machine.serial(), machine.number % 3 + 2));
    lines.push("ID4*2*0039*N/A".to_owned());
    lines.push(format!("ID5*{date}*{time}"));
    envelope("SIM7654321", "V0/6", Checksum::Constant, &lines)
}

/// Coffee: a reading tool's line before and after, names for products, and sales by payment.
pub(super) fn coffee(machine: Machine, reading: u32, at: OffsetDateTime) -> Vec<u8> {
    const NAMES: [&str; 10] = [
        "espresso",
        "coffee black",
        "macchiato",
        "coffee white",
        "cappuccino",
        "latte",
        "mocha",
        "chocolate",
        // An accent of another code page, escaped as the standard says.
        "th^E9^",
        "hot water",
    ];
    let stock = selections(machine.seed(), 8 + machine.number % 3, true, reading);
    let sums = Sums::of(&stock);
    let (date, time) = clock(at);
    let mut lines = vec![
        format!("ID1*{0}*      SIM BREW  ****{0}", machine.serial()),
        "ID4*2*1978*EUR".to_owned(),
        format!("ID5*{date}*{time}00"),
        "CB1***1.6    ".to_owned(),
        format!("VA1*{}", sums.elements(Counters::all)),
        "VA2*90*3*0*0".to_owned(),
        format!("VA3*0*{}*0*{}", 20 + reading, reading % 4),
        format!("CA2*{}", sums.elements(|one| one.cash)),
    ];
    lines.extend(sums.cash());
    lines.push(format!("DA2*{}", sums.elements(|one| one.cashless)));
    lines.push(format!("EA1*EDI_1*{date}*{time}"));
    lines.push(format!("EA2*EDI_1*{0}*{1}**0", reading % 2, 2 + reading));
    lines.push(format!("EA3*{}*{date}*{time}*0000", 2_000 + reading));
    lines.push("EA7*1*12".to_owned());
    for ((number, selection), name) in (1..).zip(&stock).zip(NAMES) {
        lines.push(format!("PA1*{number}*{}*{name:<16}****1", selection.price));
        lines.push(product(selection));
        lines.push("PA3*0**0".to_owned());
        for (device, list, part) in
            [("CA", 0, selection.since_init.cash), ("DA", 1, selection.since_init.cashless)]
        {
            lines.push(format!(
                "PA7*{number}*{device}*{list}*{}*{}*{}",
                selection.price, part.count, part.value
            ));
        }
    }
    let checksum = if machine.number.is_multiple_of(2) { Checksum::NoFinalLineEnd } else { Checksum::Right };
    let file = envelope("SIM0000030", "V0/6", checksum, &lines);
    let head = format!("<000|Operations|SIM Reader|20{date}|{time}00|daa|00001>");
    [head.as_bytes(), &file, b"<AAAA|BBBB>\r\n"].concat()
}

/// Old equipment: cash only, few segments, and each number eight digits wide.
pub(super) fn old(machine: Machine, reading: u32, at: OffsetDateTime) -> Vec<u8> {
    let stock = selections(machine.seed(), 10 + machine.number % 3, false, reading);
    let sums = Sums::of(&stock);
    let (date, time) = clock(at);
    let (init, reset) = (sums.since_init.all(), sums.since_reset.all());
    let total = |name: &str| {
        format!("{name}*{:08}*{:08}*{:08}*{:08}", init.value, init.count, reset.value, reset.count)
    };
    let mut lines = vec![
        format!("ID1*{}*SAMOVAR*27*0*MDB*0", machine.serial()),
        "ID4*2**EUR".to_owned(),
        format!("ID5*{date}*{time}"),
        total("VA1"),
        total("CA2"),
    ];
    lines.extend(sums.cash());
    lines.push("CA7*0*0".to_owned());
    lines.push("CA8*00001200*00000100".to_owned());
    for (number, selection) in (1..).zip(&stock) {
        let (init, reset) = (selection.since_init.all(), selection.since_reset.all());
        lines.push(format!(
            "PA1*{number:02}*{:08}*SELECTION {number:02}*{}",
            selection.price, selection.capacity
        ));
        lines.push(format!("PA2*{:08}*{:08}*{:08}*{:08}", init.count, init.value, reset.count, reset.value));
    }
    lines.push(format!("EA1*6A*{date}*{time}*"));
    lines.push(format!("EA3*{}*{date}*{time}", 1 + reading));
    lines.push("EA7*00000019*00000019".to_owned());
    envelope("SIM0000040", "V1/1", Checksum::Swapped, &lines)
}

/// YYMMDD and HHMM, the machine's clock: here it goes right.
fn clock(at: OffsetDateTime) -> (String, String) {
    (
        format!("{:02}{:02}{:02}", at.year() % 100, u8::from(at.month()), at.day()),
        format!("{:02}{:02}", at.hour(), at.minute()),
    )
}

impl Machine {
    fn seed(self) -> u64 {
        u64::from(self.number) << 3 | self.family as u64
    }
}
