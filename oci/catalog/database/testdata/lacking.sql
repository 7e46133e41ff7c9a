-- No table of related images.
pragma page_size = 512;
create table operatorbundle (name text primary key, bundlepath text);
create table package (name text primary key, default_channel text);
create table channel (name text, package_name text);
create table channel_entry (entry_id integer primary key, package_name text, operatorbundle_name text);
create table other (image text);
insert into operatorbundle values ('etcd.v1', 'registry.example/etcd-bundle:v1');
insert into package values ('etcd', 'stable');
insert into channel values ('stable', 'etcd');
insert into channel_entry values (1, 'etcd', 'etcd.v1');
