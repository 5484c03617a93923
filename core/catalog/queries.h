/*
 * Every SQL statement of tarn: X(name, "text"). Parameters are bound in order; what the columns are
 * is said by the SELECT. Nothing outside core/catalog says SQL. No include guard: included with X defined.
 */
/* the lake's own facts */
X(META_GET, "SELECT value FROM meta WHERE key=?1")
X(META_SET, "INSERT INTO meta(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=excluded.value")
X(DATA_VERSION, "PRAGMA data_version")

/* models */
X(MODELS, "SELECT id,name,root,flags,state,mtime,uid,gid,mode,identity,computed FROM model")
X(MODEL_MAX,
  "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name='model'),0),coalesce((SELECT max(id) FROM model),0))")
X(MODEL_PUT,
  "INSERT INTO model(id,name,root,flags,state,mtime,uid,gid,mode,identity,computed,dir,single,layout,revision) "
  "VALUES(?1,?2,?3,?4,0,?5,?6,?7,?8,?9,0,?10,?11,?12,?13)")
X(MODEL_PLACE, "SELECT root,dir,single,layout,revision,name FROM model WHERE id=?1")
X(MODEL_STATE, "UPDATE model SET state=?2, flags=?3 WHERE id=?1")
X(STATES_CLEAR, "UPDATE model SET state=0")
X(MODEL_FLAGS, "UPDATE model SET flags=?2 WHERE id=?1")
X(MODEL_COMPUTED, "UPDATE model SET computed=computed|?2 WHERE id=?1")
X(MODEL_DROP, "DELETE FROM model WHERE id=?1")
X(MODEL_EXISTS, "SELECT count(*) FROM model WHERE id=?1")
X(MODEL_COUNT, "SELECT count(*) FROM model")

/* files of a model, in name order */
X(FILE_PUT, "INSERT INTO file(model,n,name,path,kind,size,mtime,ctime,dev,ino,uid,gid,mode,broken) "
	"VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)")
X(FILES, "SELECT n,name,path,kind,size,mtime,ctime,dev,ino,uid,gid,mode,broken FROM file WHERE model=?1 ORDER BY n")
X(FILE, "SELECT n,name,path,kind,size,mtime,ctime,dev,ino,uid,gid,mode,broken FROM file WHERE model=?1 AND n=?2")
X(FILE_FIND,
  "SELECT m.name, f.name FROM file f JOIN model m ON m.id=f.model WHERE m.root=?1 AND f.path=?2 ORDER BY m.name")
X(FILE_SAME,
  "SELECT m.name, f.name FROM file f JOIN model m ON m.id=f.model WHERE f.dev=?1 AND f.ino=?2 ORDER BY m.name")
X(FILE_BYTES, "SELECT coalesce(sum(size),0) FROM file WHERE model=?1 AND kind=?2")
X(FILES_DROP, "DELETE FROM file WHERE model=?1")

/* what is known of a model */
X(FACT_PUT, "INSERT INTO fact(model,n,key,value,source) VALUES(?1,?2,?3,?4,?5)")
X(FACTS, "SELECT key,value,source FROM fact WHERE model=?1 ORDER BY n")
X(FACTS_BY_KEY, "SELECT key,value FROM fact WHERE model=?1 ORDER BY key,n")
X(FACT, "SELECT value FROM fact WHERE model=?1 AND key=?2 ORDER BY n")
X(FACTS_DROP, "DELETE FROM fact WHERE model=?1")
X(FACT_SUM, "SELECT coalesce(sum(CAST(value AS INTEGER)),0) FROM fact WHERE key=?1")
X(FACT_ALL, "SELECT model,value FROM fact WHERE key=?1 ORDER BY model,n")
X(PROBLEM_PUT, "INSERT INTO problem(model,n,file,problem,detail) VALUES(?1,?2,?3,?4,?5)")
X(PROBLEMS, "SELECT file,problem,detail FROM problem WHERE model=?1 ORDER BY n")
X(PROBLEM_ADD, "INSERT INTO problem(model,n,file,problem,detail) "
	"SELECT ?1,(SELECT coalesce(max(n)+1,0) FROM problem WHERE model=?1),?2,?3,?4 "
	"WHERE NOT EXISTS(SELECT 1 FROM problem WHERE model=?1 AND file=?2 AND problem=?3)")
X(PROBLEM_BYTES, "SELECT coalesce(sum(length(file)+length(problem)+length(detail)+8),0) FROM problem WHERE model=?1")
X(PROBLEMS_DROP, "DELETE FROM problem WHERE model=?1")
X(PROBLEM_ALL, "SELECT p.model,p.file,p.problem,p.detail FROM problem p ORDER BY p.model,p.n")
X(DECLARED_PUT, "INSERT INTO declared(model,n,base,relation,source) VALUES(?1,?2,?3,?4,?5)")
X(DECLARED, "SELECT base,relation,source FROM declared WHERE model=?1 ORDER BY n")
X(BESIDE_PUT, "INSERT INTO beside(model,n,path,size,mtime,ctime,dev,ino) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)")
X(BESIDE_DROP, "DELETE FROM beside WHERE model=?1")
X(BESIDE_ALL,
  "SELECT b.model,m.root,b.path,b.size,b.mtime,b.ctime,b.dev,b.ino FROM beside b JOIN model m ON m.id=b.model "
  "ORDER BY b.model,b.n")
X(DECLARED_DROP, "DELETE FROM declared WHERE model=?1")
X(EVALUATION_PUT, "INSERT INTO evaluation(model,n,task,dataset,metric,value,source) VALUES(?1,?2,?3,?4,?5,?6,?7)")
X(EVALUATIONS, "SELECT task,dataset,metric,value,source FROM evaluation WHERE model=?1 ORDER BY n")
X(EVALUATION_BYTES,
  "SELECT coalesce(sum(length(task)+length(dataset)+length(metric)+length(value)+length(source)+8),0) "
  "FROM evaluation WHERE model=?1")
X(EVALUATIONS_DROP, "DELETE FROM evaluation WHERE model=?1")

/* facets: key/value pairs that by/ lists */
X(FACET_PUT, "INSERT INTO facet(key,value) VALUES(?1,?2) ON CONFLICT DO NOTHING")
X(FACET_ID, "SELECT id FROM facet WHERE key=?1 AND value=?2")
X(FACET_NAME, "SELECT key,value FROM facet WHERE id=?1")
X(FACET_JOIN,
  "INSERT INTO facet_model(facet,model) SELECT id,?3 FROM facet WHERE key=?1 AND value=?2 ON CONFLICT DO NOTHING")
X(FACET_VALUES, "SELECT f.id,f.value FROM facet f WHERE f.key=?1 AND f.value>?2 "
	"AND EXISTS(SELECT 1 FROM facet_model m WHERE m.facet=f.id) ORDER BY f.value")
X(FACET_MODELS, "SELECT model FROM facet_model WHERE facet=?1 AND model>?2 ORDER BY model")
X(FACET_USED, "SELECT 1 FROM facet_model WHERE facet=?1 LIMIT 1")
X(FACET_HAS, "SELECT 1 FROM facet_model WHERE facet=?1 AND model=?2")
X(FACET_COUNTS, "SELECT f.value,count(*) FROM facet f JOIN facet_model m ON m.facet=f.id WHERE f.key=?1 "
	"GROUP BY f.id ORDER BY count(*) DESC,f.value LIMIT 20")
X(FACETS_OF_DROP, "DELETE FROM facet_model WHERE model=?1")
X(FACET_OF_DROP, "DELETE FROM facet_model WHERE model=?1 AND facet IN (SELECT id FROM facet WHERE key=?2)")
X(FACET_KEY_DROP, "DELETE FROM facet_model WHERE facet IN (SELECT id FROM facet WHERE key=?1)")
X(FACET_EMPTY,
  "INSERT OR IGNORE INTO facet_model(facet,model) SELECT (SELECT id FROM facet WHERE key=?1 AND value='_none'), m.id "
  "FROM model m WHERE m.state>0 AND NOT EXISTS(SELECT 1 FROM facet_model fm JOIN facet f ON f.id=fm.facet "
  "WHERE fm.model=m.id AND f.key=?1)")

/* what in the lake is shown nowhere */
X(UNREAD_CLEAR, "DELETE FROM unread")
X(UNREAD_PUT, "INSERT INTO unread(path,bytes,reason) VALUES(?1,?2,?3)")
X(UNREAD, "SELECT path,bytes,reason FROM unread ORDER BY path")
X(UNREAD_MARK, "SELECT count(*),coalesce(sum(bytes),0) FROM unread")

/* signatures and sketches, by content key */
X(SIGNATURE_PUT, "INSERT OR REPLACE INTO signature(key,version,data) VALUES(?1,?2,?3)")
X(SIGNATURE_GET, "SELECT data FROM signature WHERE key=?1 AND version=?2")
X(SIGNED_PUT, "INSERT OR REPLACE INTO signed(model,key,sketch) VALUES(?1,?2,?3)")
X(SIGNED_GET, "SELECT key,sketch FROM signed WHERE model=?1")
X(SIGNED_ALL, "SELECT model,key,sketch FROM signed ORDER BY model")
X(SIGNED_KEYS, "SELECT model,key FROM signed")
X(SIGNED_DROP, "DELETE FROM signed WHERE model=?1")
X(SIGNATURE_SWEEP, "DELETE FROM signature WHERE key NOT IN (SELECT key FROM signed)")

/* lineage of the snapshot that meta 'lineage' names */
X(EDGE_CLEAR, "DELETE FROM edge")
X(EDGE_PUT, "INSERT INTO edge(child,n,parent,relation,weight,confidence,basis,distance,method,evidence,why) "
	"VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)")
X(EDGES_OF,
  "SELECT parent,relation,weight,confidence,basis,distance,method,evidence,why FROM edge WHERE child=?1 ORDER BY n")
X(EDGES_FROM, "SELECT child,relation FROM edge WHERE parent=?1")
X(EDGE_ALL, "SELECT child,parent,relation,weight,confidence,basis FROM edge ORDER BY child,n")
X(EDGES_DROP, "DELETE FROM edge WHERE child=?1")
X(ORIGINS_DROP, "DELETE FROM origin WHERE model=?1")
X(ORIGIN_CLEAR, "DELETE FROM origin")
X(ORIGIN_PUT,
  "INSERT INTO origin(model,n,tensor,source,source_tensor,weight,match,distance) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)")
/* tensors are indices into the header's list */
X(ORIGINS, "SELECT tensor,source,source_tensor,weight,match,distance FROM origin WHERE model=?1 ORDER BY n")
X(FAMILY_CLEAR, "DELETE FROM family")
X(FAMILY_PUT, "INSERT OR REPLACE INTO family(model,root,rooted) VALUES(?1,?2,?3)")
X(FAMILY_STALE, "UPDATE family SET stale=1 WHERE root=(SELECT root FROM family WHERE model=?1)")
X(FAMILY_DROP, "DELETE FROM family WHERE model=?1")
X(FAMILY_TOUCHED, "SELECT model FROM family WHERE root IN (SELECT root FROM family WHERE stale) ORDER BY model")
X(FAMILY_OF, "SELECT root,rooted FROM family WHERE model=?1")
X(FAMILY_ROOT, "SELECT root FROM family WHERE model=?1 AND rooted")
X(FAMILY_MEMBERS, "SELECT model FROM family WHERE root=?1 ORDER BY model")
X(FAMILY_ROOTS, "SELECT DISTINCT root,rooted FROM family ORDER BY root")
X(FAMILY_SIZES, "SELECT root,rooted,count(*) FROM family GROUP BY root ORDER BY count(*) DESC,root LIMIT ?1")
X(FAMILY_ALL, "SELECT model,root,rooted FROM family ORDER BY model")

/* nearest neighbours of one generation; other 0: computed */
X(NEAR, "SELECT other,distance FROM near WHERE model=?1 AND generation=?2 ORDER BY n")
X(NEAR_PUT, "INSERT OR REPLACE INTO near(model,generation,n,other,distance) VALUES(?1,?2,?3,?4,?5)")
X(NEAR_DROP, "DELETE FROM near WHERE model=?1")

/* computed files: kind is the tree's row, x its detail; content NULL where only the size is kept */
X(RENDERED_PUT, "INSERT OR REPLACE INTO rendered(model,kind,x,size,content) VALUES(?1,?2,?3,?4,?5)")
X(RENDERED_SIZE_PUT, "INSERT OR REPLACE INTO rendered(model,kind,x,size,content) VALUES(?1,?2,?3,?4,NULL)")
X(RENDERED_SIZE, "SELECT size FROM rendered WHERE model=?1 AND kind=?2 AND x=?3")
X(RENDERED_GET, "SELECT size,content FROM rendered WHERE model=?1 AND kind=?2 AND x=?3")
X(RENDERED_DROP, "DELETE FROM rendered WHERE model=?1")
X(RENDERED_PAIR_DROP, "DELETE FROM rendered WHERE x=?1 AND x>0")
X(RENDERED_OLD, "DELETE FROM rendered WHERE x>=?1 AND x<?2")
X(RENDERED_CLEAR, "DELETE FROM rendered")
X(COMPUTED_CLEAR, "UPDATE model SET computed=0")

/* whole-file hashes and per-tensor statistics, by the file's identity or the model */
X(HASH_PUT, "INSERT OR REPLACE INTO filehash(dev,ino,size,mtime,ctime,hash) VALUES(?1,?2,?3,?4,?5,?6)")
X(HASH_GET, "SELECT hash FROM filehash WHERE dev=?1 AND ino=?2 AND size=?3 AND mtime=?4 AND ctime=?5")
X(EXACT_PUT, "INSERT OR REPLACE INTO exact(model,version,data) VALUES(?1,?2,?3)")
X(EXACT_GET, "SELECT data FROM exact WHERE model=?1 AND version=?2")
X(EXACT_DROP, "DELETE FROM exact WHERE model=?1")

/* exact comparisons of two models */
X(DIFF_PUT, "INSERT OR REPLACE INTO diff(model,other,data) VALUES(?1,?2,?3)")
X(DIFF_GET, "SELECT data FROM diff WHERE model=?1 AND other=?2")
X(DIFF_DROP, "DELETE FROM diff WHERE model=?1 OR other=?1")

/* exports: sizes, and the names below tensors/ once they have been asked for (listed) */
X(EXPORT_PUT, "INSERT INTO export(model,size,listed) VALUES(?1,?2,?3) ON CONFLICT(model) DO UPDATE SET "
	"size=excluded.size, listed=max(listed,excluded.listed)")
X(EXPORT_SIZE, "SELECT size FROM export WHERE model=?1")
X(EXPORT_LISTED, "SELECT listed FROM export WHERE model=?1")
X(EXPORT_DROP, "DELETE FROM export WHERE model=?1")
X(EXPORT_TENSOR_PUT, "INSERT OR REPLACE INTO export_tensor(model,n,name,size) VALUES(?1,?2,?3,?4)")
X(EXPORT_TENSORS, "SELECT n,name FROM export_tensor WHERE model=?1 AND n>?2 ORDER BY n")
X(EXPORT_TENSOR_SIZE, "SELECT size FROM export_tensor WHERE model=?1 AND n=?2")
X(EXPORT_TENSOR_FIND, "SELECT n FROM export_tensor WHERE model=?1 AND name=?2")
X(EXPORT_TENSORS_DROP, "DELETE FROM export_tensor WHERE model=?1")
X(EXPORT_DELTA_PUT, "INSERT OR REPLACE INTO export_delta(model,other,size) VALUES(?1,?2,?3)")
X(EXPORT_DELTA_SIZE, "SELECT size FROM export_delta WHERE model=?1 AND other=?2")
X(EXPORT_DELTA_DROP, "DELETE FROM export_delta WHERE model=?1 OR other=?1")
