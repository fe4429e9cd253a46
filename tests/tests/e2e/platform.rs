//! Users, workspaces and projects as an application uses them: by REST, with tokens of users.

use anyhow::{Context as _, Result};
use ironferry_tests::lab::{Db, Lab};
use serde_json::{Value, json};

/// Somebody with an account.
struct User {
    id: String,
    token: String,
}

impl User {
    async fn sign_up(lab: &Lab, db: &Db, name: &str) -> Result<Self> {
        let make = "insert into auth.users (id, email, raw_user_meta_data)
                    values (gen_random_uuid(), $1, jsonb_build_object('full_name', $2::text)) returning id::text";
        let id = db.text(make, &[&format!("{name}@tests.example"), &name]).await?;
        let token = format!("Bearer {}", lab.stack.keys().user_jwt(&id, &json!({})));
        Ok(Self { id, token })
    }

    async fn asks(&self, lab: &Lab, method: &str, path: &str, body: Value) -> Result<(u16, Value)> {
        let publishable = lab.stack.keys().publishable.clone();
        let headers = [
            ("authorization", self.token.as_str()),
            ("apikey", &publishable),
            ("content-type", "application/json"),
            ("prefer", "return=representation"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = lab.api.send(method, &format!("/rest/v1/{path}"), &headers, body).await?;
        let said = if reply.body.is_empty() { Value::Null } else { reply.json()? };
        Ok((reply.status, said))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_made_shared_changed_and_left_by_its_users() -> Result<()> {
    let lab = Lab::start("platform", &[]).await?;
    let db = lab.db().await?;
    let olga = User::sign_up(&lab, &db, "olga").await?;
    let mia = User::sign_up(&lab, &db, "mia").await?;
    let stranger = User::sign_up(&lab, &db, "stranger").await?;

    let (status, said) = olga.asks(&lab, "GET", "users?select=email,display_name", Value::Null).await?;
    assert_eq!((status, said), (200, json!([{ "email": "olga@tests.example", "display_name": "olga" }])));

    let (_, workspace) =
        olga.asks(&lab, "POST", "rpc/workspace_create", json!({ "p_workspace_name": "North" })).await?;
    let workspace = workspace.as_str().context("no id")?.to_owned();
    let project = json!({ "p_project_name": "maps", "p_workspace_id": workspace });
    let (status, made) = olga.asks(&lab, "POST", "rpc/project_create", project.clone()).await?;
    assert_eq!(status, 200, "{made}");
    let id = made.as_str().context("no id")?;
    let (status, refused) = mia.asks(&lab, "POST", "rpc/project_create", project).await?;
    assert!(matches!(status, 401 | 403) && refused["code"] == "42501", "{status} {refused}");

    let share = json!({ "p_project_id": id, "p_user_id": mia.id, "p_role": "admin" });
    let (status, said) = olga.asks(&lab, "POST", "rpc/project_member_set", share).await?;
    assert_eq!(status, 204, "{said}");
    let whole = "projects?select=project_name,description,project_members(user_id,role)";
    let (status, said) = mia.asks(&lab, "GET", whole, Value::Null).await?;
    let members = json!([{ "user_id": mia.id, "role": "admin" }]);
    let seen = json!([{ "project_name": "maps", "description": "", "project_members": members }]);
    assert_eq!((status, &said), (200, &seen));

    let change = json!({ "description": "Where we are" });
    let (status, said) = mia.asks(&lab, "PATCH", &format!("projects?id=eq.{id}"), change.clone()).await?;
    assert_eq!((status, &said[0]["description"]), (200, &change["description"]), "{said}");
    for (method, path, body) in [
        ("PATCH", format!("projects?id=eq.{id}"), json!({ "owner": mia.id })),
        ("DELETE", format!("projects?id=eq.{id}"), Value::Null),
        ("POST", "project_members".to_owned(), json!({ "project_id": id, "user_id": stranger.id })),
        ("PATCH", format!("users?id=eq.{}", mia.id), json!({ "clerk_id": "user_of_another" })),
    ] {
        let (status, said) = mia.asks(&lab, method, &path, body).await?;
        assert!(matches!(status, 401 | 403) && said["code"] == "42501", "{method} {path}: {status} {said}");
    }

    for table in ["projects", "project_members", "workspaces", "workspace_members"] {
        let (status, said) = stranger.asks(&lab, "GET", table, Value::Null).await?;
        assert_eq!((status, said), (200, json!([])), "a stranger sees no {table}");
    }
    let (status, said) = stranger.asks(&lab, "PATCH", &format!("projects?id=eq.{id}"), change).await?;
    assert_eq!((status, said), (200, json!([])), "nor changes what is not seen");

    let leave = json!({ "p_project_id": id, "p_user_id": mia.id });
    mia.asks(&lab, "POST", "rpc/project_member_remove", leave).await?;
    assert_eq!(mia.asks(&lab, "GET", whole, Value::Null).await?.1, json!([]));
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_who_leave_at_once_do_not_leave_a_workspace_to_nobody() -> Result<()> {
    let lab = Lab::start("platform-owners", &[]).await?;
    let db = lab.db().await?;
    let (anna, boris) = (User::sign_up(&lab, &db, "anna").await?, User::sign_up(&lab, &db, "boris").await?);
    for round in 0..10 {
        let name = json!({ "p_workspace_name": format!("round {round}") });
        let (_, id) = anna.asks(&lab, "POST", "rpc/workspace_create", name).await?;
        let join = json!({ "p_workspace_id": id, "p_user_id": boris.id, "p_role": "owner" });
        assert_eq!(anna.asks(&lab, "POST", "rpc/workspace_member_set", join).await?.0, 204);
        let leave = |user: &User| json!({ "p_workspace_id": id, "p_user_id": user.id });
        let path = "rpc/workspace_member_remove";
        let (first, second) = tokio::join!(
            anna.asks(&lab, "POST", path, leave(&anna)),
            boris.asks(&lab, "POST", path, leave(&boris))
        );
        let mut statuses = [first?.0, second?.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 400], "one leaves, the other stays");
    }
    let owners = db.count("select count(*) from public.workspace_members where role = 'owner'", &[]).await?;
    assert_eq!(owners, 10);
    lab.stop().await
}
