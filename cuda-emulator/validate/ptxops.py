"""Instruction forms in hand-written PTX: the emulator against the pseudo-code of the PTX manual.

usage: ptxops.py"""
import random,struct,subprocess,sys
from tools import ptxas,run_kernel,work
M32=0xffffffff; M64=(1<<64)-1
def sx(v,b): v&=(1<<b)-1; return v-(1<<b) if v>>(b-1) else v
r=random.Random(5)
n=512; sp=[0,1,2,31,32,33,63,64,255,0x7fffffff,0x80000000,M32,M32-1]
ins=[(r.choice(sp) if r.random()<.4 else r.getrandbits(32), r.choice(sp) if r.random()<.5 else (r.getrandbits(32) if r.random()<.5 else r.randrange(70)), r.choice(sp) if r.random()<.4 else (r.getrandbits(32) if r.random()<.4 else r.randrange(70)), r.getrandbits(32) if r.random()<.5 else r.randrange(40)) for _ in range(n)]
def bfe(a,b,c,bits,sg):
    msb=bits-1; pos=b&255; ln=c&255
    s=0 if (not sg or ln==0) else a>>min(pos+ln-1,msb)&1
    d=0
    for i in range(bits): d|=((a>>(pos+i)&1) if (i<ln and pos+i<=msb) else s)<<i
    return d
def bfi(a,b,c,d,bits):
    pos=c&255; ln=d&255; f=b
    for i in range(ln):
        if pos+i>bits-1: break
        f=f&~(1<<(pos+i))|((a>>i&1)<<(pos+i))
    return f
def prmt(a,b,c,mode):
    by=[(((b<<32)|a)>>(8*i))&255 for i in range(8)]
    if mode=='':
        o=0
        for i in range(4):
            s=c>>(4*i)&15; v=by[s&7]
            if s&8: v=255 if v>>7 else 0
            o|=v<<(8*i)
        return o
    t={'f4e':[[3,2,1,0],[4,3,2,1],[5,4,3,2],[6,5,4,3]],'b4e':[[5,6,7,0],[6,7,0,1],[7,0,1,2],[0,1,2,3]],'rc8':[[0]*4,[1]*4,[2]*4,[3]*4],
       'ecl':[[3,2,1,0],[3,2,1,1],[3,2,2,2],[3,3,3,3]],'ecr':[[0,0,0,0],[1,1,1,0],[2,2,1,0],[3,2,1,0]],'rc16':[[1,0,1,0],[3,2,3,2],[1,0,1,0],[3,2,3,2]]}[mode][c&3]
    return sum(by[t[3-i]]<<(8*i) for i in range(4))
def shf(a,b,c,l,cl):
    nn=min(c,32) if cl else c&31
    return ((b<<nn)|(a>>(32-nn)))&M32 if l else ((b<<(32-nn))|(a>>nn))&M32
def lop(a,b,c,t):
    o=0
    for i in range(32): o|=(t>>((a>>i&1)*4+(b>>i&1)*2+(c>>i&1))&1)<<i
    return o
def bmsk(a,b,cl):
    if cl: a=min(a,32); b=min(b,32)
    else: a&=31; b&=31
    return (((1<<b)-1)<<a)&M32
def szext(a,b,cl,sg):
    b=min(b,32) if cl else b&31
    if b==0: return 0
    return (sx(a,b) if sg else a&((1<<b)-1))&M32
def bfind(a,bits,sg,am):
    v=a
    if sg and v>>(bits-1): v=~v&((1<<bits)-1)
    if v==0: return M32
    p=v.bit_length()-1
    return bits-1-p if am else p
def clampi(v,b,sg): lo,hi=(-(1<<(b-1)),(1<<(b-1))-1) if sg else (0,(1<<b)-1); return max(lo,min(hi,v))
ops=[]
O=lambda t,f,w=32: ops.append((t,f,w))
for t,bits,sg in (('u32',32,0),('s32',32,1)): O(f'bfe.{t} %d, %a, %b, %c;',lambda a,b,c,e,bits=bits,sg=sg:bfe(a,b,c,bits,sg))
for t,sg in (('u64',0),('s64',1)): O(f'bfe.{t} %D, %A, %b, %c;',lambda a,b,c,e,sg=sg:bfe((a<<32)|e,b,c,64,sg),64)
O('bfi.b32 %d, %a, %e, %b, %c;',lambda a,b,c,e:bfi(a,e,b,c,32))
O('bfi.b64 %D, %A, %E, %b, %c;',lambda a,b,c,e:bfi((a<<32)|e,(e<<32)|a,b,c,64),64)
for m in ('','f4e','b4e','rc8','ecl','ecr','rc16'): O(f'prmt.b32{"."+m if m else ""} %d, %a, %e, %c;',lambda a,b,c,e,m=m:prmt(a,e,c,m))
for l in 'lr':
    for m in ('clamp','wrap'): O(f'shf.{l}.{m}.b32 %d, %a, %e, %b;',lambda a,b,c,e,l=l,m=m:shf(a,e,b,l=='l',m=='clamp'))
for t in (0x96,0xe8,0x1b,0x40,0xfe): O(f'lop3.b32 %d, %a, %e, %c, {t};',lambda a,b,c,e,t=t:lop(a,e,c,t))
for m in ('clamp','wrap'):
    O(f'bmsk.{m}.b32 %d, %b, %c;',lambda a,b,c,e,m=m:bmsk(b,c,m=='clamp'))
    for t in 'us': O(f'szext.{m}.{t}32 %d, %a, %b;',lambda a,b,c,e,m=m,t=t:szext(a,b,m=='clamp',t=='s'))
for t in 'us':
    O(f'bfind.{t}32 %d, %a;',lambda a,b,c,e,t=t:bfind(a,32,t=='s',0)); O(f'bfind.shiftamt.{t}32 %d, %a;',lambda a,b,c,e,t=t:bfind(a,32,t=='s',1)); O(f'bfind.{t}64 %d, %A;',lambda a,b,c,e,t=t:bfind((a<<32)|e,64,t=='s',0))
    O(f'sad.{t}32 %d, %a, %e, %c;',lambda a,b,c,e,t=t:(c+abs((sx(a,32)-sx(e,32)) if t=='s' else a-e))&M32)
    O(f'mul24.lo.{t}32 %d, %a, %e;',lambda a,b,c,e,t=t:((sx(a,24)*sx(e,24)) if t=='s' else (a&0xffffff)*(e&0xffffff))&M32)
    O(f'mul24.hi.{t}32 %d, %a, %e;',lambda a,b,c,e,t=t:(((sx(a,24)*sx(e,24)) if t=='s' else (a&0xffffff)*(e&0xffffff))>>16)&M32)
    O(f'mad.hi.{t}32 %d, %a, %e, %c;',lambda a,b,c,e,t=t:((((sx(a,32)*sx(e,32)) if t=='s' else a*e)>>32)+c)&M32)
    O(f'mul.hi.{t}64 %D, %A, %E;',lambda a,b,c,e,t=t:(((sx((a<<32)|e,64)*sx((e<<32)|a,64)) if t=='s' else ((a<<32)|e)*((e<<32)|a))>>64)&M64,64)
    O(f'mul.wide.{t}32 %D, %a, %e;',lambda a,b,c,e,t=t:((sx(a,32)*sx(e,32)) if t=='s' else a*e)&M64,64)
    O(f'mad.wide.{t}32 %D, %a, %e, %E;',lambda a,b,c,e,t=t:(((sx(a,32)*sx(e,32)) if t=='s' else a*e)+((e<<32)|a))&M64,64)
    O(f'shr.{t}32 %d, %a, %b;',lambda a,b,c,e,t=t:((sx(a,32) if t=='s' else a)>>min(b,32))&M32); O(f'shr.{t}64 %D, %A, %b;',lambda a,b,c,e,t=t:((sx((a<<32)|e,64) if t=='s' else (a<<32)|e)>>min(b,64))&M64,64)
    for w in (8,16):
        for t2 in 'us': O(f'cvt.sat.{t}{w}.{t2}32 %d, %a;',lambda a,b,c,e,t=t,w=w,t2=t2:clampi(sx(a,32) if t2=='s' else a,w,t=='s')&M32)
        O(f'cvt.{t}{w}.u32 %d, %a;',lambda a,b,c,e,t=t,w=w:(sx(a,w) if t=='s' else a&((1<<w)-1))&M32)
    for t2 in 'us': O(f'cvt.sat.{t}32.{t2}64 %d, %A;',lambda a,b,c,e,t=t,t2=t2:clampi(sx((a<<32)|e,64) if t2=='s' else (a<<32)|e,32,t=='s')&M32)
O('shl.b32 %d, %a, %b;',lambda a,b,c,e:(a<<b)&M32 if b<32 else 0); O('shl.b64 %D, %A, %b;',lambda a,b,c,e:(((a<<32)|e)<<b)&M64 if b<64 else 0,64)
O('add.sat.s32 %d, %a, %e;',lambda a,b,c,e:clampi(sx(a,32)+sx(e,32),32,1)&M32); O('sub.sat.s32 %d, %a, %e;',lambda a,b,c,e:clampi(sx(a,32)-sx(e,32),32,1)&M32)
O('slct.s32.s32 %d, %a, %e, %c;',lambda a,b,c,e:a if sx(c,32)>=0 else e); O('cnot.b32 %d, %b;',lambda a,b,c,e:int(b==0))
O('add.cc.u32 %d, %a, %e; addc.cc.u32 %t, %b, %c; addc.u32 %t, %t, 0; xor.b32 %d, %d, %t;',lambda a,b,c,e:((a+e)&M32)^((((b+c+((a+e)>>32))&M32)+((b+c+((a+e)>>32))>>32))&M32))
O('sub.cc.u32 %d, %a, %e; subc.cc.u32 %t, %b, %c; subc.u32 %t, %t, 0; xor.b32 %d, %d, %t;',lambda a,b,c,e:((a-e)&M32)^((((b-c-(a<e))&M32)-(b-c-(a<e)<0))&M32))
O('mad.lo.cc.u32 %d, %a, %e, %c; madc.hi.u32 %t, %a, %e, %b; xor.b32 %d, %d, %t;',lambda a,b,c,e:((a*e+c)&M32)^((((a*e)>>32)+b+((((a*e)&M32)+c)>>32))&M32))
O('dp4a.s32.u32 %d, %a, %e, %c;',lambda a,b,c,e:(c+sum(sx(a>>8*i,8)*(e>>8*i&255) for i in range(4)))&M32)
O('dp2a.hi.s32.u32 %d, %a, %e, %c;',lambda a,b,c,e:(c+sum(sx(a>>16*i,16)*(e>>(8*i+16)&255) for i in range(2)))&M32)
O('brev.b64 %D, %A;',lambda a,b,c,e:int(format((a<<32)|e,'064b')[::-1],2),64)
for cmp,f in (('lt',lambda x,y:x<y),('ge',lambda x,y:x>=y),('eq',lambda x,y:x==y)):
    for t in 'us': O(f'set.{cmp}.u32.{t}32 %d, %a, %e;',lambda a,b,c,e,f=f,t=t:M32 if f(*((sx(a,32),sx(e,32)) if t=='s' else (a,e))) else 0)
O('setp.lt.and.u32 %p|%q, %a, %e, %z; selp.b32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;',lambda a,b,c,e:int(a<e and b>c)+2*int((not a<e) and b>c))
O('setp.hi.or.u32 %p|%q, %a, %e, !%z; selp.b32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;',lambda a,b,c,e:int(a>e or not b>c)+2*int((not a>e) or not b>c))
O('mov.b32 {%h0, %h1}, %a; mov.b32 %d, {%h1, %h0};',lambda a,b,c,e:((a>>16)|(a<<16))&M32); O('mov.b64 {%d, %t}, %A; sub.u32 %d, %d, %t;',lambda a,b,c,e:(e-a)&M32)
def fns(m,b,o):
    o=sx(o,32); b=sx(b,32)
    if o==0: return b if 0<=b<32 and m>>b&1 else M32
    c=abs(o)-1; i=1 if o>0 else -1
    while 0<=b<32:
        if m>>b&1:
            if c==0: return b
            c-=1
        b+=i
    return M32
O('and.b32 %t, %b, 31; shr.s32 %d, %c, 27; fns.b32 %d, %a, %t, %d;',lambda a,b,c,e:fns(a,b&31,(sx(c,32)>>27)&M32))
src='.version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 pin, .param .u64 pout, .param .u32 pn)\n{\n .reg .pred %p, %q, %z, %r; .reg .b16 %h<2>; .reg .b32 %a, %b, %c, %e, %d, %t, %i, %n; .reg .b64 %A, %E, %D, %x<6>;\n mov.u32 %i, %tid.x; mov.u32 %t, %ctaid.x; mov.u32 %n, %ntid.x; mad.lo.s32 %i, %t, %n, %i; ld.param.u32 %n, [pn]; setp.ge.u32 %r, %i, %n; @%r ret;\n ld.param.u64 %x0, [pin]; ld.param.u64 %x1, [pout]; mul.wide.u32 %x2, %i, 16; add.s64 %x0, %x0, %x2; ld.global.v4.u32 {%a,%b,%c,%e}, [%x0]; mov.b64 %A, {%e,%a}; mov.b64 %E, {%a,%e}; setp.gt.u32 %z, %b, %c; mul.wide.u32 %x3, %i, 8; add.s64 %x1, %x1, %x3;\n'
for k,(t,f,w) in enumerate(ops):
    src+=f' // {k}\n {t}\n'+(f' cvt.u64.u32 %D, %d;\n' if w==32 else '')+f' st.global.u64 [%x1+{k*n*8}], %D;\n'
src+=' ret;\n}\n'
open(work('ops.ptx'),'w').write(src)
subprocess.run([ptxas(),'-arch=sm_80',work('ops.ptx'),'-o','/dev/null'],check=True)
open(work('ops.in'),'wb').write(b''.join(struct.pack('<IIII',*x) for x in ins))
p=run_kernel(work('ops.ptx'),'k',work('ops.in'),work('ops.out'),len(ops)*n*8,n)
if p.returncode: sys.exit(p.stderr)
out=open(work('ops.out'),'rb').read(); bad=0
for k,(t,f,w) in enumerate(ops):
    for j,x in enumerate(ins):
        g=struct.unpack_from('<Q',out,(k*n+j)*8)[0]; e=f(*x)
        if g!=e: bad+=1; print('BAD',t,[hex(v) for v in x],'got',hex(g),'want',hex(e)); break
print(len(ops),'instruction forms x',n,'inputs, bad',bad)
sys.exit(bad>0)
