//! The vocabularies of STIX 2.1 (§10), and where their words stand.
//!
//! An *enumeration* is closed: a reader that meets another word has nothing to do with it. An *open vocabulary* only
//! suggests (§2.16): the field is full of other words, so these are told and never refused.

/// A list of words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vocabulary {
    /// As the standard calls it.
    pub(super) name: &'static str,
    pub(super) is_open: bool,
    pub(super) words: &'static [&'static str],
}

/// Words stand there.
pub(super) struct Place {
    /// Type of object; empty for every type.
    pub(super) of: &'static str,
    /// Way to them: names; `[]` is each of a list, `*` each value of a dictionary, `{}` each name of one.
    pub(super) way: &'static [&'static str],
    pub(super) from: &'static Vocabulary,
}

const fn at(of: &'static str, way: &'static [&'static str], from: &'static Vocabulary) -> Place {
    Place { of, way, from }
}

pub(super) static PLACES: &[Place] = &[
    at("", &["extensions", "*", "extension_type"], &EXTENSION_TYPE),
    at("extension-definition", &["extension_types", "[]"], &EXTENSION_TYPE),
    at("opinion", &["opinion"], &OPINION),
    at("artifact", &["encryption_algorithm"], &ENCRYPTION_ALGORITHM),
    at("network-traffic", &["extensions", "socket-ext", "address_family"], &NETWORK_SOCKET_ADDRESS_FAMILY),
    at("network-traffic", &["extensions", "socket-ext", "socket_type"], &NETWORK_SOCKET_TYPE),
    at("process", &["extensions", "windows-process-ext", "integrity_level"], &WINDOWS_INTEGRITY_LEVEL),
    at("process", &["extensions", "windows-service-ext", "start_type"], &WINDOWS_SERVICE_START_TYPE),
    at("process", &["extensions", "windows-service-ext", "service_type"], &WINDOWS_SERVICE_TYPE),
    at("process", &["extensions", "windows-service-ext", "service_status"], &WINDOWS_SERVICE_STATUS),
    at("windows-registry-key", &["values", "[]", "data_type"], &WINDOWS_REGISTRY_DATATYPE),
    at("artifact", &["hashes", "{}"], &HASHING_ALGORITHM),
    at("file", &["hashes", "{}"], &HASHING_ALGORITHM),
    at("x509-certificate", &["hashes", "{}"], &HASHING_ALGORITHM),
    at("", &["external_references", "[]", "hashes", "{}"], &HASHING_ALGORITHM),
    at("file", &["extensions", "windows-pebinary-ext", "pe_type"], &WINDOWS_PEBINARY_TYPE),
    at("user-account", &["account_type"], &ACCOUNT_TYPE),
    at("grouping", &["context"], &GROUPING_CONTEXT),
    at("identity", &["identity_class"], &IDENTITY_CLASS),
    at("identity", &["sectors", "[]"], &INDUSTRY_SECTOR),
    at("indicator", &["indicator_types", "[]"], &INDICATOR_TYPE),
    at("indicator", &["pattern_type"], &PATTERN_TYPE),
    at("infrastructure", &["infrastructure_types", "[]"], &INFRASTRUCTURE_TYPE),
    at("intrusion-set", &["resource_level"], &ATTACK_RESOURCE_LEVEL),
    at("intrusion-set", &["primary_motivation"], &ATTACK_MOTIVATION),
    at("intrusion-set", &["secondary_motivations", "[]"], &ATTACK_MOTIVATION),
    at("location", &["region"], &REGION),
    at("malware", &["malware_types", "[]"], &MALWARE_TYPE),
    at("malware", &["architecture_execution_envs", "[]"], &PROCESSOR_ARCHITECTURE),
    at("malware", &["implementation_languages", "[]"], &IMPLEMENTATION_LANGUAGE),
    at("malware", &["capabilities", "[]"], &MALWARE_CAPABILITIES),
    at("malware-analysis", &["result"], &MALWARE_RESULT),
    at("report", &["report_types", "[]"], &REPORT_TYPE),
    at("threat-actor", &["threat_actor_types", "[]"], &THREAT_ACTOR_TYPE),
    at("threat-actor", &["roles", "[]"], &THREAT_ACTOR_ROLE),
    at("threat-actor", &["sophistication"], &THREAT_ACTOR_SOPHISTICATION),
    at("threat-actor", &["resource_level"], &ATTACK_RESOURCE_LEVEL),
    at("threat-actor", &["primary_motivation"], &ATTACK_MOTIVATION),
    at("threat-actor", &["secondary_motivations", "[]"], &ATTACK_MOTIVATION),
    at("threat-actor", &["personal_motivations", "[]"], &ATTACK_MOTIVATION),
    at("tool", &["tool_types", "[]"], &TOOL_TYPE),
];

static ENCRYPTION_ALGORITHM: Vocabulary = Vocabulary {
    name: "encryption-algorithm-enum",
    is_open: false,
    words: &["AES-256-GCM", "ChaCha20-Poly1305", "mime-type-indicated"],
};
static EXTENSION_TYPE: Vocabulary = Vocabulary {
    name: "extension-type-enum",
    is_open: false,
    words: &["new-sdo", "new-sco", "new-sro", "property-extension", "toplevel-property-extension"],
};
static NETWORK_SOCKET_ADDRESS_FAMILY: Vocabulary = Vocabulary {
    name: "network-socket-address-family-enum",
    is_open: false,
    words: &["AF_UNSPEC", "AF_INET", "AF_IPX", "AF_APPLETALK", "AF_NETBIOS", "AF_INET6", "AF_IRDA", "AF_BTH"],
};
static NETWORK_SOCKET_TYPE: Vocabulary = Vocabulary {
    name: "network-socket-type-enum",
    is_open: false,
    words: &["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_RDM", "SOCK_SEQPACKET"],
};
static OPINION: Vocabulary = Vocabulary {
    name: "opinion-enum",
    is_open: false,
    words: &["strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"],
};
static WINDOWS_INTEGRITY_LEVEL: Vocabulary = Vocabulary {
    name: "windows-integrity-level-enum",
    is_open: false,
    words: &["low", "medium", "high", "system"],
};
static WINDOWS_REGISTRY_DATATYPE: Vocabulary = Vocabulary {
    name: "windows-registry-datatype-enum",
    is_open: false,
    words: &[
        "REG_NONE",
        "REG_SZ",
        "REG_EXPAND_SZ",
        "REG_BINARY",
        "REG_DWORD",
        "REG_DWORD_BIG_ENDIAN",
        "REG_DWORD_LITTLE_ENDIAN",
        "REG_LINK",
        "REG_MULTI_SZ",
        "REG_RESOURCE_LIST",
        "REG_FULL_RESOURCE_DESCRIPTION",
        "REG_RESOURCE_REQUIREMENTS_LIST",
        "REG_QWORD",
        "REG_INVALID_TYPE",
    ],
};
static WINDOWS_SERVICE_START_TYPE: Vocabulary = Vocabulary {
    name: "windows-service-start-type-enum",
    is_open: false,
    words: &[
        "SERVICE_AUTO_START",
        "SERVICE_BOOT_START",
        "SERVICE_DEMAND_START",
        "SERVICE_DISABLED",
        "SERVICE_SYSTEM_ALERT",
    ],
};
static WINDOWS_SERVICE_TYPE: Vocabulary = Vocabulary {
    name: "windows-service-type-enum",
    is_open: false,
    words: &[
        "SERVICE_KERNEL_DRIVER",
        "SERVICE_FILE_SYSTEM_DRIVER",
        "SERVICE_WIN32_OWN_PROCESS",
        "SERVICE_WIN32_SHARE_PROCESS",
    ],
};
static WINDOWS_SERVICE_STATUS: Vocabulary = Vocabulary {
    name: "windows-service-status-enum",
    is_open: false,
    words: &[
        "SERVICE_CONTINUE_PENDING",
        "SERVICE_PAUSE_PENDING",
        "SERVICE_PAUSED",
        "SERVICE_RUNNING",
        "SERVICE_START_PENDING",
        "SERVICE_STOP_PENDING",
        "SERVICE_STOPPED",
    ],
};
static ACCOUNT_TYPE: Vocabulary = Vocabulary {
    name: "account-type-ov",
    is_open: true,
    words: &[
        "facebook",
        "ldap",
        "nis",
        "openid",
        "radius",
        "skype",
        "tacacs",
        "twitter",
        "unix",
        "windows-local",
        "windows-domain",
    ],
};
static ATTACK_MOTIVATION: Vocabulary = Vocabulary {
    name: "attack-motivation-ov",
    is_open: true,
    words: &[
        "accidental",
        "coercion",
        "dominance",
        "ideology",
        "notoriety",
        "organizational-gain",
        "personal-gain",
        "personal-satisfaction",
        "revenge",
        "unpredictable",
    ],
};
static ATTACK_RESOURCE_LEVEL: Vocabulary = Vocabulary {
    name: "attack-resource-level-ov",
    is_open: true,
    words: &["individual", "club", "contest", "team", "organization", "government"],
};
static GROUPING_CONTEXT: Vocabulary = Vocabulary {
    name: "grouping-context-ov",
    is_open: true,
    words: &["suspicious-activity", "malware-analysis", "unspecified"],
};
static HASHING_ALGORITHM: Vocabulary = Vocabulary {
    name: "hash-algorithm-ov",
    is_open: true,
    words: &["MD5", "SHA-1", "SHA-256", "SHA-512", "SHA3-256", "SHA3-512", "SSDEEP", "TLSH"],
};
static IDENTITY_CLASS: Vocabulary = Vocabulary {
    name: "identity-class-ov",
    is_open: true,
    words: &["individual", "group", "system", "organization", "class", "unknown"],
};
static IMPLEMENTATION_LANGUAGE: Vocabulary = Vocabulary {
    name: "implementation-language-ov",
    is_open: true,
    words: &[
        "applescript",
        "bash",
        "c",
        "c++",
        "c#",
        "go",
        "java",
        "javascript",
        "lua",
        "objective-c",
        "perl",
        "php",
        "powershell",
        "python",
        "ruby",
        "scala",
        "swift",
        "typescript",
        "visual-basic",
        "x86-32",
        "x86-64",
    ],
};
static INDICATOR_TYPE: Vocabulary = Vocabulary {
    name: "indicator-type-ov",
    is_open: true,
    words: &[
        "anomalous-activity",
        "anonymization",
        "benign",
        "compromised",
        "malicious-activity",
        "attribution",
        "unknown",
    ],
};
static INDUSTRY_SECTOR: Vocabulary = Vocabulary {
    name: "industry-sector-ov",
    is_open: true,
    words: &[
        "agriculture",
        "aerospace",
        "automotive",
        "chemical",
        "commercial",
        "communications",
        "construction",
        "defense",
        "education",
        "energy",
        "entertainment",
        "financial-services",
        "government",
        "emergency-services",
        "government-national",
        "government-regional",
        "government-local",
        "government-public-services",
        "healthcare",
        "hospitality-leisure",
        "infrastructure",
        "dams",
        "nuclear",
        "water",
        "insurance",
        "manufacturing",
        "mining",
        "non-profit",
        "pharmaceuticals",
        "retail",
        "technology",
        "telecommunications",
        "transportation",
        "utilities",
    ],
};
static INFRASTRUCTURE_TYPE: Vocabulary = Vocabulary {
    name: "infrastructure-type-ov",
    is_open: true,
    words: &[
        "amplification",
        "anonymization",
        "botnet",
        "command-and-control",
        "control-system",
        "exfiltration",
        "firewall",
        "hosting-malware",
        "hosting-target-lists",
        "phishing",
        "reconnaissance",
        "routers-switches",
        "staging",
        "workstation",
        "unknown",
    ],
};
static MALWARE_CAPABILITIES: Vocabulary = Vocabulary {
    name: "malware-capabilities-ov",
    is_open: true,
    words: &[
        "accesses-remote-machines",
        "anti-debugging",
        "anti-disassembly",
        "anti-emulation",
        "anti-memory-forensics",
        "anti-sandbox",
        "anti-vm",
        "captures-input-peripherals",
        "captures-output-peripherals",
        "captures-system-state-data",
        "cleans-traces-of-infection",
        "commits-fraud",
        "communicates-with-c2",
        "compromises-data-availability",
        "compromises-data-integrity",
        "compromises-system-availability",
        "controls-local-machine",
        "degrades-security-software",
        "degrades-system-updates",
        "determines-c2-server",
        "emails-spam",
        "escalates-privileges",
        "evades-av",
        "exfiltrates-data",
        "fingerprints-host",
        "hides-artifacts",
        "hides-executing-code",
        "infects-files",
        "infects-remote-machines",
        "installs-other-components",
        "persists-after-system-reboot",
        "prevents-artifact-access",
        "prevents-artifact-deletion",
        "probes-network-environment",
        "self-modifies",
        "steals-authentication-credentials",
        "violates-system-operational-integrity",
    ],
};
static MALWARE_RESULT: Vocabulary = Vocabulary {
    name: "malware-result-ov",
    is_open: true,
    words: &["malicious", "suspicious", "benign", "unknown"],
};
static MALWARE_TYPE: Vocabulary = Vocabulary {
    name: "malware-type-ov",
    is_open: true,
    words: &[
        "adware",
        "backdoor",
        "bot",
        "bootkit",
        "ddos",
        "downloader",
        "dropper",
        "exploit-kit",
        "keylogger",
        "ransomware",
        "remote-access-trojan",
        "resource-exploitation",
        "rogue-security-software",
        "rootkit",
        "screen-capture",
        "spyware",
        "trojan",
        "unknown",
        "virus",
        "webshell",
        "wiper",
        "worm",
    ],
};
static PATTERN_TYPE: Vocabulary = Vocabulary {
    name: "pattern-type-ov",
    is_open: true,
    words: &["stix", "pcre", "sigma", "snort", "suricata", "yara"],
};
static PROCESSOR_ARCHITECTURE: Vocabulary = Vocabulary {
    name: "processor-architecture-ov",
    is_open: true,
    words: &["alpha", "arm", "ia-64", "mips", "powerpc", "sparc", "x86", "x86-64"],
};
static REGION: Vocabulary = Vocabulary {
    name: "region-ov",
    is_open: true,
    words: &[
        "africa",
        "eastern-africa",
        "middle-africa",
        "northern-africa",
        "southern-africa",
        "western-africa",
        "americas",
        "latin-america-caribbean",
        "south-america",
        "caribbean",
        "central-america",
        "northern-america",
        "asia",
        "central-asia",
        "eastern-asia",
        "southern-asia",
        "south-eastern-asia",
        "western-asia",
        "europe",
        "eastern-europe",
        "northern-europe",
        "southern-europe",
        "western-europe",
        "oceania",
        "antarctica",
        "australia-new-zealand",
        "melanesia",
        "micronesia",
        "polynesia",
    ],
};
static REPORT_TYPE: Vocabulary = Vocabulary {
    name: "report-type-ov",
    is_open: true,
    words: &[
        "attack-pattern",
        "campaign",
        "identity",
        "indicator",
        "intrusion-set",
        "malware",
        "observed-data",
        "threat-actor",
        "threat-report",
        "tool",
        "vulnerability",
    ],
};
static THREAT_ACTOR_ROLE: Vocabulary = Vocabulary {
    name: "threat-actor-role-ov",
    is_open: true,
    words: &[
        "agent",
        "director",
        "independent",
        "infrastructure-architect",
        "infrastructure-operator",
        "malware-author",
        "sponsor",
    ],
};
static THREAT_ACTOR_SOPHISTICATION: Vocabulary = Vocabulary {
    name: "threat-actor-sophistication-ov",
    is_open: true,
    words: &["none", "minimal", "intermediate", "advanced", "expert", "innovator", "strategic"],
};
static THREAT_ACTOR_TYPE: Vocabulary = Vocabulary {
    name: "threat-actor-type-ov",
    is_open: true,
    words: &[
        "activist",
        "competitor",
        "crime-syndicate",
        "criminal",
        "hacker",
        "insider-accidental",
        "insider-disgruntled",
        "nation-state",
        "sensationalist",
        "spy",
        "terrorist",
        "unknown",
    ],
};
static TOOL_TYPE: Vocabulary = Vocabulary {
    name: "tool-type-ov",
    is_open: true,
    words: &[
        "denial-of-service",
        "exploitation",
        "information-gathering",
        "network-capture",
        "credential-exploitation",
        "remote-access",
        "vulnerability-scanning",
        "unknown",
    ],
};
static WINDOWS_PEBINARY_TYPE: Vocabulary =
    Vocabulary { name: "windows-pebinary-type-ov", is_open: true, words: &["dll", "exe", "sys"] };
