#!/bin/sh
# Make every secret that docker-compose.yml needs, each a random one in a file of its own, in ./secrets or in the
# folder given. What is there already stays, so it may be run again after an upgrade that needs one more.
#
#     sh deploy/compose/make-secrets.sh
#
# The folder is for its owner alone. The files in it are not: the containers read them under users of their own.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-secrets}
mkdir -p "$folder"
chmod 0700 "$folder"
cd "$folder"

random() { # 43 characters of a URL's alphabet: 256 bits
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

put() { # NAME: a file with what comes on stdin, unless it is there; whole, or not at all
    if [ -e "$1" ]; then
        cat >/dev/null
    else
        cat >"$1.new"
        mv "$1.new" "$1"
    fi
}

password() {
    random | put "$1"
}

for name in catalog_superuser catalog_owner catalog_fleet sample_superuser sample_app grafana flower s3_key \
    redis_worker redis_beat redis_bus redis_api redis_flower redis_exporter redis_consciousness; do
    password "${name}_password"
done

printf 'postgresql://snapfleet_owner:%s@catalog:5432/snapfleet\n' "$(cat catalog_owner_password)" | put catalog_owner_url
printf 'postgresql://snapfleet_fleet:%s@catalog:5432/snapfleet\n' "$(cat catalog_fleet_password)" | put catalog_url
printf 'postgresql://app:%s@sample:5432/app\n' "$(cat sample_app_password)" | put database_url
for user in worker beat bus api flower exporter consciousness; do
    printf 'redis://%s:%s@redis:6379/0\n' "$user" "$(cat "redis_${user}_password")" | put "redis_${user}_url"
done
printf '[default]\naws_access_key_id = snapfleet\naws_secret_access_key = %s\n' "$(cat s3_key_password)" |
    put aws_credentials
printf '%s' '{"identities": [{"name": "snapfleet", "credentials": [{"accessKey": "snapfleet", "secretKey": "' \
    "$(cat s3_key_password)" '"}], "actions": ["Read", "Write", "List", "Tagging", "Admin"]}]}' | put s3_identities

# Each user of Redis as deploy/redis/users.acl describes it, with its password's digest: the password itself is not
# in the server's file, and neither are comments, which the server does not take.
if [ ! -e redis_users ]; then
    grep -v '^#' "$here/../redis/users.acl" >redis_users.draft
    for user in $(sed -n 's/^user \([a-z]*\) on <\1> .*/\1/p' redis_users.draft); do
        digest=$(tr -d '\n' <"redis_${user}_password" | sha256sum | cut -d ' ' -f 1)
        sed "s/<$user>/#$digest/" redis_users.draft >redis_users.next
        mv redis_users.next redis_users.draft
    done
    put redis_users <redis_users.draft
    rm redis_users.draft
fi
chmod 0444 ./*
