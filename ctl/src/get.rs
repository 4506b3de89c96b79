//! `tidewater get`: one profile, as readers are served.

use crate::Error;
use crate::world::{Log, Rows, Target};
use clap::Args;
use schemas::json::Fields;
use schemas::{Profile, Tenant, UserId, Version};
use serde_json::{Map, Value, json};
use std::io::Write;

/// Shows the profile of a user as one JSON object.
///
/// From a directory that is at work as readers are served: from the cache, else from the row. `source` says which.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater get ada --data ./tidewater-data
  tidewater get ada --data ./tidewater-data | jq .profile.email
  tidewater get ada --tenant acme --versions        the version of each value, and of the last upsert and delete
Exit codes: 0 there is such a user, 1 there is not, 64 asked or configured wrongly, 70 nobody answers")]
pub(crate) struct Get {
    #[arg(value_name = "USER")]
    user_id: String,
    #[arg(long, default_value = "main")]
    tenant: String,
    /// The row with the version of each value, past the cache
    #[arg(long)]
    versions: bool,
}

impl Get {
    pub(crate) async fn execute(&self, target: &Target, out: &mut dyn Write) -> Result<(), Error> {
        let wrong = |what: &str| Error::Usage(format!("no user has such a {what}"));
        let tenant = Tenant::new(&self.tenant).ok_or_else(|| wrong("tenant"))?;
        let user_id = UserId::new(&self.user_id).ok_or_else(|| wrong("user id"))?;
        let found = if target.data().is_some() && !self.versions {
            served(target, &tenant, &user_id).await?
        } else {
            self.stored(&target.rows().await?, &tenant, &user_id).await?
        };
        let Some(Value::Object(about)) = found else {
            return Err(Error::Unproven("there is no such user".to_owned()));
        };
        let mut object = Map::from_iter([
            ("tenant".to_owned(), json!(tenant.as_str())),
            ("user_id".to_owned(), json!(user_id.as_str())),
        ]);
        object.extend(about);
        writeln!(out, "{}", Value::Object(object))?;
        Ok(())
    }

    async fn stored(&self, rows: &Rows, tenant: &Tenant, user_id: &UserId) -> Result<Option<Value>, Error> {
        let profile = Profile::embedded()?;
        let found = rows.read(tenant, user_id).await?;
        let Some(row) = found.filter(|row| self.versions || row.row.alive()) else { return Ok(None) };
        let fields = Fields { profile: &profile, row: &row.row.row };
        let fields = serde_json::to_value(fields).map_err(std::io::Error::from)?;
        let number = |version: Option<Version>| json!(version.map(Version::get));
        let about = &row.row;
        let mut object = Map::from_iter([
            ("version".to_owned(), number(about.version)),
            ("source".to_owned(), json!("store")),
            ("profile".to_owned(), fields),
        ]);
        if self.versions {
            let versions = profile
                .fields()
                .iter()
                .enumerate()
                .filter_map(|(at, field)| Some((field.name.to_string(), json!(row.version_of(at)?.get()))));
            object.extend([
                ("versions".to_owned(), Value::Object(versions.collect())),
                ("live".to_owned(), number(about.live)),
                ("dead".to_owned(), number(about.dead)),
                ("is_alive".to_owned(), json!(about.alive())),
            ]);
        }
        Ok(Some(Value::Object(object)))
    }
}

async fn served(target: &Target, tenant: &Tenant, user_id: &UserId) -> Result<Option<Value>, Error> {
    #[allow(clippy::infallible_destructuring_match, reason = "with servers there are two")]
    let log = match target.log().await? {
        Log::Data(log) => log,
        #[cfg(feature = "servers")]
        Log::Servers(_) => return Ok(None),
    };
    let found = log.access().get(tenant, user_id).await?;
    let Some(payload) = found.payload else { return Ok(None) };
    let fields: Value = serde_json::from_str(&payload).map_err(std::io::Error::from)?;
    let source = if found.is_cached { "cache" } else { "store" };
    Ok(Some(json!({"version": found.version.map(Version::get), "source": source, "profile": fields})))
}
