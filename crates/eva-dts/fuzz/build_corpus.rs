//! Writes the seeds that fuzzing starts from: `cargo run --bin build-corpus`.
//!
//! For `file`: a small capture of each dialect, whole, cut off and wrapped, and what the folder in
//! `DEX_CORPUS` holds. The other targets make machines of their bytes: they get noise of some lengths.

use std::io::Result;
use std::path::Path;
use std::{env, fs};

use eva_dts::crc16;

/// The lines of one synthetic capture a maker.
const DIALECTS: [(&str, &[&str]); 7] = [
    (
        "cola",
        &[
            "ID1*SIM1*MODEL*0100**BUILD*",
            "ID4*2*1036*1",
            "VA1*400*4*400*4*0*0",
            "CA3*1*2*3*4*100*200*300*4*5*400*0*0",
            "LS*0100",
            "PA1*1*100*",
            "PA2*4*400*4*400*0*0",
            "LE*0100",
            "EA2*DO*1*2",
            "MA5*SEL01*7,8,9*1*2",
            "MA5*TEMP*-05*C*DC",
            "MA5*TIME*1*260924*1919*AUS",
            "MA5*CARD*SEL01*100*1",
            "MA5*ERROR*UA09*UA10",
            "SD1*000000",
        ],
    ),
    (
        "snack",
        &[
            "CA2*0*0*0*0",
            "CA14*500*3*2*30*20",
            "CA17*0*10*59***1",
            "CB1***V2.2",
            "DA2*400*4*0*0",
            "MA5*DESIRED TEMPERATURE*  400*C",
            "VA1*400*4*0*0*0*0*0*0",
            "EA1*EGS*260924*0207",
            "EA2*EAR*0*465**1",
            "EA4*260914*0901",
            "ID4*2*0036*N/A",
            "ID5*260924*2014",
            "PA1*1A*100",
            "PA2*4*400*0*0*0*0*0*0",
            "PA5*260601*130938*2",
        ],
    ),
    (
        "payments",
        &[
            "ID4*1*7*",
            "PA1*01*250*0",
            "PA3*22**22",
            "PA7*01*CA*0*250*8*1990*8*1990",
            "PA7*01*TA*0*250*0*4294967295*0*1",
            "PA7*02*DA*1*100*0*0*0*0",
            "PA8*1*50*0*0",
            "EA3**20260113*143005******1*0",
        ],
    ),
    (
        "lists",
        &[
            "ID4*0*0007*001",
            "PA1*1*****",
            "PA2*2*20*0*0",
            "LA1*0*1*10*0*2",
            "LA1*1*1*250*0*0",
            "CA15*70*TUBE1*0*7*0*0*0*0*0*0",
            "TA2*1*1*0*0*2*2*0*0",
            "DA5*1*2*3*4*5*6*7*8",
            "DA10*1*2*3*4",
            "EA7*0*4182",
            "EA6*20260111*232706*WHO*Clean",
        ],
    ),
    (
        "wittern",
        &[
            "ID1*WTN1*MODEL        *9660***",
            "PA1*010*75*****1",
            "PA4*5*375*0*0",
            "EA2*ELA*70*70",
            "EA2*EGS*0*0**1*95206",
            "EA2*EJB_101*1*2",
            "MA5*TEMP*Cold*38*F*50",
            "MA5*PPOS*1*\"...Snack...   \"",
        ],
    ),
    ("escapes", &["PA1*01*100*A^2A^B^0D^^D7^^E8^", "ID1*^00^*^C3^^A9^*5^ ^zz^", "@$1*x", "ST-1*1", "KH85*1"]),
    ("empty", &[]),
];

fn capture(lines: &[&str]) -> String {
    let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let crc = crc16(format!("ST*001*0001\r\n{body}").as_bytes());
    let count = lines.len() + 3;
    format!(
        "DXS*SIM0000001*VA*V0/6*1\r\nST*001*0001\r\n{body}G85*{crc:04X}\r\nSE*{count}*0001\r\nDXE*1*1\r\n"
    )
}

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Vec::new();
    for (name, lines) in DIALECTS {
        let whole = capture(lines);
        seeds.push((format!("{name}-cut"), whole.as_bytes()[..whole.len() * 2 / 3].to_vec()));
        seeds.push((format!("{name}-unix"), whole.replace("\r\n", "\n").into_bytes()));
        seeds.push((
            format!("{name}-wrapped"),
            format!("MC5*X*1\r\n<000|daa|\u{11}>{whole}<AAAA|BBBB>").into_bytes(),
        ));
        seeds.push((format!("{name}-twice"), format!("{}{whole}", &whole[..whole.len() / 2]).into_bytes()));
        seeds.push((name.to_owned(), whole.into_bytes()));
    }
    if let Some(folder) = env::var_os("DEX_CORPUS") {
        add_real(Path::new(&folder), &mut seeds)?;
    } else {
        eprintln!("DEX_CORPUS is not set: synthetic seeds only");
    }
    write(&here.join("corpus/file"), &seeds)?;
    let noise: Vec<_> = [64, 256, 1_024, 4_096]
        .into_iter()
        .map(|length| (format!("noise-{length}"), noise(length)))
        .collect();
    write(&here.join("corpus/lines"), &noise)?;
    write(&here.join("corpus/sales"), &noise)
}

fn write(folder: &Path, seeds: &[(String, Vec<u8>)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, bytes) in seeds {
        fs::write(folder.join(name), bytes)?;
    }
    println!("{}: {} seeds", folder.display(), seeds.len());
    Ok(())
}

/// The same bytes at each call, and no two alike for long.
fn noise(length: usize) -> Vec<u8> {
    let mut state = length as u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn add_real(folder: &Path, seeds: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add_real(&path, seeds)?;
        } else if let Some(name) = path.file_name() {
            seeds.push((format!("real-{}", name.to_string_lossy()), fs::read(&path)?));
        }
    }
    Ok(())
}
