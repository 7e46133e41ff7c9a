-- Triggers, temporary tables, indexes and views beside the tables.
pragma page_size = 512;
create table operatorbundle (name text primary key, bundlepath text);
create table package (name text primary key, default_channel text);
create table channel (name text, package_name text);
create table channel_entry (entry_id integer primary key, package_name text, operatorbundle_name text);
create table related_image (image text, operatorbundle_name text);
create view other as with recursive r(i) as (select 1 union all select i + 1 from r) select i from r;
create index i on related_image(image) where image <> '';
create trigger t after insert on related_image begin insert into related_image values ('registry.example/triggered', 'etcd.v1'); end;
insert into related_image values ('registry.example/etcd:v1', 'etcd.v1');
insert into operatorbundle values ('etcd.v1', 'registry.example/etcd-bundle:v1');
insert into package values ('etcd', 'stable');
insert into channel values ('stable', 'etcd');
insert into channel_entry values (1, 'etcd', 'etcd.v1');
