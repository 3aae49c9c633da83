//! The model of a machine's processors, from the text of `/proc/cpuinfo`, which has other fields on each architecture.

/// Fields with a name for people: x86 and some ARM kernels, LoongArch, POWER, MIPS and SPARC, RISC-V.
const NAMES: [&str; 5] = ["model name", "Model Name", "cpu model", "cpu", "uarch"];

/// The designers of ARM processors, by their code.
const DESIGNERS: [(&str, &str); 9] = [
    ("0x41", "ARM"),
    ("0x42", "Broadcom"),
    ("0x43", "Cavium"),
    ("0x48", "HiSilicon"),
    ("0x4e", "NVIDIA"),
    ("0x51", "Qualcomm"),
    ("0x61", "Apple"),
    ("0x6d", "Microsoft"),
    ("0xc0", "Ampere"),
];

/// ARM's processors in servers and boards, by their code; from ARM's manuals, as in `lscpu`.
const ARM_PARTS: [(&str, &str); 22] = [
    ("0xc07", "Cortex-A7"),
    ("0xc09", "Cortex-A9"),
    ("0xc0f", "Cortex-A15"),
    ("0xd03", "Cortex-A53"),
    ("0xd04", "Cortex-A35"),
    ("0xd05", "Cortex-A55"),
    ("0xd07", "Cortex-A57"),
    ("0xd08", "Cortex-A72"),
    ("0xd09", "Cortex-A73"),
    ("0xd0a", "Cortex-A75"),
    ("0xd0b", "Cortex-A76"),
    ("0xd0c", "Neoverse-N1"),
    ("0xd0d", "Cortex-A77"),
    ("0xd40", "Neoverse-V1"),
    ("0xd41", "Cortex-A78"),
    ("0xd44", "Cortex-X1"),
    ("0xd46", "Cortex-A510"),
    ("0xd47", "Cortex-A710"),
    ("0xd49", "Neoverse-N2"),
    ("0xd4f", "Neoverse-V2"),
    ("0xd84", "Neoverse-V3"),
    ("0xd8e", "Neoverse-N3"),
];

/// The model; several are joined if the machine has processors of different kinds. `None` if the text names none.
pub(super) fn model(cpuinfo: &str) -> Option<String> {
    let mut models: Vec<String> = Vec::new();
    // Each paragraph is about one processor, except for the first one on s390 and the last one on POWER.
    for paragraph in cpuinfo.split("\n\n") {
        if let Some(model) = of_one(paragraph)
            && !models.contains(&model)
        {
            models.push(model);
        }
    }
    (!models.is_empty()).then(|| models.join(" and "))
}

fn of_one(paragraph: &str) -> Option<String> {
    let fields = || paragraph.lines().filter_map(|line| line.split_once(':'));
    let field = |wanted: &str| {
        let value = fields().find(|(name, _)| name.trim() == wanted)?.1;
        let words: Vec<_> = value.split_whitespace().collect();
        (!words.is_empty()).then(|| words.join(" "))
    };
    let arm = || Some(arm(&field("CPU implementer")?, &field("CPU part")?));
    NAMES.into_iter().find_map(field).or_else(arm).or_else(|| s390(paragraph))
}

fn arm(designer: &str, part: &str) -> String {
    let name = |table: &[(&str, &'static str)], code: &str| {
        table.iter().find(|(known, _)| *known == code).map(|&(_, name)| name)
    };
    let of_designer = name(&DESIGNERS, designer);
    match (of_designer, name(&ARM_PARTS, part)) {
        (Some("ARM"), Some(part)) => format!("ARM {part}"),
        (of_designer, _) => format!("{}, part {part}", of_designer.unwrap_or(&format!("ARM designer {designer}"))),
    }
}

/// `processor 0: version = FF,  identification = 0A1B2C,  machine = 8561`
fn s390(paragraph: &str) -> Option<String> {
    let line = paragraph.lines().find(|line| line.starts_with("processor ") && line.contains("machine = "))?;
    Some(format!("IBM {}", line.split_once("machine = ")?.1.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_several_machines() {
        let arm = |n: u32, designer: &str, part: &str| {
            format!(
                "processor\t: {n}\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: {designer}\n\
                 CPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
            )
        };
        let x86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n\
                   model name\t: AMD EPYC 7R13 Processor\nstepping\t: 1\ncpu MHz\t\t: 2650.000\n\n";
        let second = x86.replace("processor\t: 0", "processor\t: 1");
        let intel = x86.replace("AMD EPYC 7R13 Processor", "Intel(R) Xeon(R) CPU           E5-2670 0 @ 2.60GHz");
        let boards = [arm(0, "0x41", "0xd05"), arm(1, "0x41", "0xd05"), arm(4, "0x41", "0xd0b")].concat();
        for (text, wanted) in [
            ([x86, &second].concat(), Some("AMD EPYC 7R13 Processor")),
            (intel, Some("Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz")),
            (arm(0, "0x41", "0xd0c") + &arm(1, "0x41", "0xd0c"), Some("ARM Neoverse-N1")),
            (boards, Some("ARM Cortex-A55 and ARM Cortex-A76")),
            (arm(0, "0x61", "0x022"), Some("Apple, part 0x022")),
            (arm(0, "0x77", "0xd0c"), Some("ARM designer 0x77, part 0xd0c")),
            (
                "processor\t: 0\nmodel name\t: ARMv7 Processor rev 3 (v7l)\nCPU implementer\t: 0x41\n\
                 CPU part\t: 0xd08\n\nHardware\t: BCM2711\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
                    .to_owned(),
                Some("ARMv7 Processor rev 3 (v7l)"),
            ),
            (
                "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.000000MHz\n\n\
                 timebase\t: 512000000\nplatform\t: PowerNV\n"
                    .to_owned(),
                Some("POWER9, altivec supported"),
            ),
            (
                "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nuarch\t\t: sifive,u74-mc\n\n".to_owned(),
                Some("sifive,u74-mc"),
            ),
            (
                "vendor_id       : IBM/S390\n# processors    : 2\nprocessor 0: version = FF,  identification = \
                 0A1B2C,  machine = 8561\nprocessor 1: version = FF,  identification = 0A1B2C,  machine = 8561\n\n"
                    .to_owned(),
                Some("IBM 8561"),
            ),
            ("model name\t:\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(model(&text).as_deref(), wanted, "{text}");
        }
    }
}
