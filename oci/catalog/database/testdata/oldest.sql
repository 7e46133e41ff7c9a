-- The tables as the first migrations had them, in pages so small that tables have
-- several levels and most rows are partly elsewhere; a page map, free pages, rows
-- that are older than a column, names in all quotes, and numbers for texts.
pragma page_size = 512;
pragma auto_vacuum = incremental;
create table operatorbundle (name text primary key, csv blob, bundle blob /* , no_column text */);
create table package ("name" string, -- , no_column string
  [default_channel] string, check (name <> 'a,b' and default_channel <> ')'));
create table channel (head_operatorbundle_name string, `package_name` string, 'name' string,
  primary key (name, package_name), foreign key (package_name) references package(name));
create table channel_entry (entry_id integer primary key, depth decimal(10, 2) default (1), channel_name text, operatorbundle_name text, package_name text);
create table related_image (operatorbundle_name text, image text);
create table other (text text);
insert into other select printf('%.3000c', 'o') from (values (1), (2), (3), (4));
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60)
  insert into operatorbundle(name, csv, bundle) select 'etcd.v' || i, printf('%.*c', i * 12, 'c'), printf('%.*c', 700 - i * 11, 'b') from n;
alter table operatorbundle add column "BundlePath" text;
with recursive n(i) as (select 61 union all select i + 1 from n where i < 80)
  insert into operatorbundle(name, csv, bundle, bundlepath) select 'etcd.v' || i, '{}', '', 'registry.example/etcd-bundle:v' || i from n;
insert into package values ('etcd', '4.5'), ('12', -300), ('0', 1), ('zero', 0), ('big', 9007199254740993), ('float', 1.5e300), ('null', null);
insert into channel(package_name, name) select name, default_channel from package;
insert into channel_entry(operatorbundle_name, package_name) select name, 'etcd' from operatorbundle;
insert into channel_entry(operatorbundle_name, package_name) values (null, 'etcd'), ('etcd.v1', 'big');
insert into related_image select name, 'registry.example/etcd/' || printf('%.*c', 300 + length(name), 'i') || rowid % 7 from operatorbundle;
insert into related_image values (null, 'registry.example/nobody'), ('etcd.v1', null), ('etcd.v1', ''), ('gone.v1', 'registry.example/gone');
drop table other;
delete from operatorbundle where name like 'etcd.v_3';
