//! TAXII 2.1 as this server speaks it. The standard says more; this is for those who read descriptions instead.

use super::{
    operation::{Content, Operation, Param},
    rest::KEY,
    shapes::{
        TaxiiCollection, TaxiiCollections, TaxiiDiscovery, TaxiiEnvelope, TaxiiManifest, TaxiiRoot,
        TaxiiStatus, TaxiiVersions,
    },
};
use crate::api::taxii::media;

const TAG: &str = "taxii";
const AFTER: Param = Param::time("added_after", "Only what was added after this time");
const LIMIT: Param =
    Param::number("limit", "Objects of a page, 1 or more; lowered to what the server serves at most");
const NEXT: Param = Param::text("next", "The `next` of the page before, with the same filters");
const ID: Param = Param::texts("match[id]", "STIX ids");
const KIND: Param = Param::texts("match[type]", "STIX types");
const VERSION: Param =
    Param::texts("match[version]", "`first`, `last`, `all` or times; the last unless said");
const OWN_VERSION: Param = Param::texts(
    "match[version]",
    "`first`, `last`, `all` or times, among the versions that this member says itself; all unless said",
);
const SPEC: Param = Param::texts("match[spec_version]", "STIX versions");
const CLASS: Param =
    Param::texts("x_belfry_class", "Information classes; what was taken back comes whatever its class");
const PURPOSE: Param =
    Param::texts("x_belfry_purpose", "Purposes; what was taken back comes whatever its purpose");
const EXPIRED: Param = Param::flag(
    "x_belfry_expired",
    "Indicators past their `valid_until`, too, which otherwise come only if they had another version",
);
const KEYED: &[Param] = &[KEY];
const OF_COLLECTION: &[Param] = &[AFTER, LIMIT, NEXT, ID, KIND, VERSION, SPEC, CLASS, PURPOSE, EXPIRED];
const OF_OBJECT: &[Param] = &[AFTER, LIMIT, NEXT, VERSION, SPEC];
const OF_DELETE: &[Param] = &[OWN_VERSION, SPEC];
const OF_VERSIONS: &[Param] = &[AFTER, LIMIT, NEXT, SPEC];

#[rustfmt::skip]
pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get("/taxii2/", TAG, "What this server offers")
        .answers(200, Content::of::<TaxiiDiscovery>(media::TAXII)),
    Operation::get("/taxii2/root/", TAG, "The API root")
        .answers(200, Content::of::<TaxiiRoot>(media::TAXII)),
    Operation::get("/taxii2/root/status/{id}/", TAG, "How far an added envelope has come")
        .answers(200, Content::of::<TaxiiStatus>(media::TAXII)),
    Operation::get("/taxii2/root/collections/", TAG, "Collections, one a group")
        .answers(200, Content::of::<TaxiiCollections>(media::TAXII)),
    Operation::get("/taxii2/root/collections/{collection}/", TAG, "One collection, by id or alias")
        .answers(200, Content::of::<TaxiiCollection>(media::TAXII)),
    Operation::get("/taxii2/root/collections/{collection}/manifest/", TAG, "What a collection holds, without the objects")
        .query(OF_COLLECTION).answers(200, Content::of::<TaxiiManifest>(media::TAXII)),
    Operation::get("/taxii2/root/collections/{collection}/objects/", TAG, "Objects, page by page, oldest first")
        .query(OF_COLLECTION).answers(200, Content::of::<TaxiiEnvelope>(media::TAXII)),
    Operation::post("/taxii2/root/collections/{collection}/objects/", TAG, "Publish an envelope's objects to the group")
        .headers(KEYED).takes(Content::of::<TaxiiEnvelope>(media::TAXII)).answers(202, Content::of::<TaxiiStatus>(media::TAXII)),
    Operation::get("/taxii2/root/collections/{collection}/objects/{object}/", TAG, "One object")
        .query(OF_OBJECT).answers(200, Content::of::<TaxiiEnvelope>(media::TAXII)),
    Operation::delete("/taxii2/root/collections/{collection}/objects/{object}/", TAG, "Withdraw what this member says of an object")
        .query(OF_DELETE).answers_nothing(200),
    Operation::get("/taxii2/root/collections/{collection}/objects/{object}/versions/", TAG, "Versions of one object")
        .query(OF_VERSIONS).answers(200, Content::of::<TaxiiVersions>(media::TAXII)),
];
